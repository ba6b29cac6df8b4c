"""Predictions as people have them, and `fairfm evaluate` on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ..command_line import Command, Said

PATIENTS = 120
FEW = ("--replicates", "20", "--metrics", "auc")


def rows(**columns: Any) -> pd.DataFrame:
    """Two images each of 120 patients in val and test, one pathology, and further columns."""
    random = np.random.default_rng(0)
    patient = np.repeat(np.arange(PATIENTS), 2)
    sick = (random.random(2 * PATIENTS) < 0.4).astype(int)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(2 * PATIENTS)],
            "patient_id": [f"p{n}" for n in patient],
            "split": np.where(patient < PATIENTS // 3, "val", "test"),
            "sex": np.where(patient % 2, "F", "M"),
            "race": np.array(["White", "Black", "Asian"])[patient % 3],
            "y_Edema": sick,
            "p_Edema": (1 / (1 + np.exp(-(1.5 * sick + random.normal(size=len(sick)))))).round(4),
        }
    )
    return frame.assign(**columns)


@dataclass(frozen=True)
class Desk:
    """A folder with predictions, and the command on them."""

    folder: Path
    fairfm: Command

    def write(self, table: pd.DataFrame | bytes | str, name: str = "preds.csv") -> Path:
        """Write a table, as csv or parquet by its name, or the content of a file."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        if isinstance(table, bytes | str):
            path.write_bytes(table if isinstance(table, bytes) else table.encode())
        elif name.endswith(".parquet"):
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False)
        return path

    def evaluate(self, *arguments: object, name: str = "preds.csv") -> Said:
        """`fairfm evaluate preds.csv --out out` with further arguments."""
        few = () if "--replicates" in arguments else FEW
        return self.fairfm("evaluate", name, "--out", "out", *few, *arguments)

    def table(self, name: str = "metrics") -> pd.DataFrame:
        """A table that was written."""
        return pd.read_csv(self.folder / "out" / f"{name}.csv")

    def groups(self, attribute: str) -> set[str]:
        """The groups of an attribute in the metrics."""
        metrics = self.table()
        return set(metrics[metrics["attribute"] == attribute]["group"].dropna())

    def auc(self, split: str = "test") -> float:
        """The AUC of everybody."""
        metrics = self.table()
        chosen = (metrics["split"] == split) & (metrics["attribute"] == "overall")
        return float(metrics[chosen & (metrics["metric"] == "auc")]["value"].iloc[0])

    def gap(self, attribute: str) -> float:
        """The AUC gap on test, as a fraction."""
        gaps = self.table("gaps")
        chosen = (gaps["split"] == "test") & (gaps["attribute"] == attribute)
        return float(gaps[chosen & (gaps["definition"] == "gap_of_mean")]["value"].iloc[0])


@pytest.fixture
def desk(tmp_path: Path, fairfm: Command, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An empty folder in which commands are given."""
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, fairfm)
