"""A whole study on real GPUs: two stages share one, several workers take one each, and the numbers
are those of CPUs within rounding.

The same code runs on CPUs in `test_runner.py` and `test_data_parallel_study.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fairfm_core.artifacts import open_store
from sweeps.planning.plan import make_plan
from sweeps.planning.study import read_study

from ...cards import needs_cards
from ..conftest import Fairfm, NewDatabase, WriteStudy
from .test_data_parallel_study import add_scratch, write

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROUNDING = 0.05
"""Between probabilities after the same short training in other precision on other hardware."""
SHORT: dict[str, Any] = {
    "matrix": {
        "adaptation": {
            "probe": {"method": "linear_probe", "recipe": "smoke", "epochs": 3},
            "tune": {"method": "end_to_end", "recipe": "smoke", "epochs": 2, "base_lr": 1e-5},
        }
    },
    "seeds": [0, 1],
}


def run(fairfm: Fairfm, database: NewDatabase, study: Path, results: Path) -> dict[str, Any]:
    """Run the study; returns what its trained stages were computed on, and their predictions."""
    database(results / "mlflow.db")
    done = fairfm("sweep", "run", study, "--results", results)
    assert done.returncode == 0, done.stdout + done.stderr
    store, found = open_store(str(results)), {}
    for stage in make_plan(read_study(study)).stages.values():
        if stage.kind in ("adapt", "features", "pretrain"):
            record = store.done_record(stage.kind, stage.fingerprint)
            found[stage.fingerprint] = dict(record["hardware"])
        if stage.kind == "adapt":
            path = results / "adapt" / stage.fingerprint / "predictions" / "test.parquet"
            found[stage.fingerprint]["table"] = pd.read_parquet(path)
    return found


def worst(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of a probability."""
    assert one.keys() == other.keys()
    tables = [(o["table"], other[name]["table"]) for name, o in one.items() if "table" in o]
    scores = [column for column in tables[0][0] if column.startswith("p_")]
    assert scores
    return max(float(np.abs(a[scores] - b[scores]).to_numpy().max()) for a, b in tables)


@needs_cards()
def test_two_stages_share_a_card_and_give_the_numbers_of_cpus(
    write_study: WriteStudy, fairfm: Fairfm, new_database: NewDatabase, tmp_path: Path
) -> None:
    half = write_study(**SHORT, resources={"gpus": 0.5, "cpus": 1})
    on_cards = run(fairfm, new_database, half, tmp_path / "gpu")
    alone = write_study(**SHORT, resources={"gpus": 0})
    on_cpus = run(fairfm, new_database, alone, tmp_path / "cpu")
    names = {each["device"] for each in on_cards.values()}
    assert torch.cuda.get_device_name() in names
    assert {each["device"] for each in on_cpus.values()} == {"cpu"}
    assert worst(on_cards, on_cpus) < ROUNDING


@needs_cards(2)
def test_a_group_of_two_cards_pre_trains_as_one(
    phantom_folder: Path, fairfm: Fairfm, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Formed by Ray Train through NCCL, beside fine-tunings that need a card."""
    found = []
    for workers in (1, 2):
        study = write(tmp_path, phantom_folder, workers=workers)
        add_scratch(study)
        found.append(run(fairfm, new_database, study, tmp_path / f"workers{workers}"))
    assert {each.get("workers") for each in found[1].values()} == {None, 2}
    assert worst(*found) < ROUNDING
