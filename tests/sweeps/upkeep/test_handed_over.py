"""`fairfm export predictions`: one file that other programs read, with what was predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from analysis.results.study_record import write_study_record
from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.predictions import read_predictions, write_predictions
from sweeps.commands.export import export

from ...analysis.conftest import STUDY, identity, study_record, trial_frames
from ...damage import DAMAGES

NAME, UNDONE = "vit.probe.s0", "vit.probe.s1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of which one trial has predictions."""
    monkeypatch.chdir(tmp_path)
    store = open_store(str(tmp_path / "results"))
    write_study_record(store, STUDY, study_record())
    with store.publish("adapt", identity("adapt", NAME), {}) as made:
        (made / "predictions").mkdir()
        for split, frame in trial_frames("vit.probe", 0).items():
            write_predictions(frame, made / "predictions" / f"{split}.parquet")
    return Path(store.root)


def said(*arguments: object) -> str:
    ran = CliRunner().invoke(export, ["predictions", *map(str, arguments)])
    if ran.exception is not None:
        raise ran.exception
    return ran.output


def expected() -> pd.DataFrame:
    return pd.concat(trial_frames("vit.probe", 0).values())


@pytest.mark.parametrize("name", [f"{NAME}.parquet", "handed.parquet", "handed.csv"])
def test_one_file_holds_both_splits(folder: Path, name: str) -> None:
    out = () if name == f"{NAME}.parquet" else ("--out", name)
    text = said(folder, NAME, *out)
    assert text == f"wrote {name}: 560 images of val and test; Edema, Effusion\n"
    read = pd.read_csv(name) if name.endswith("csv") else pd.read_parquet(name)
    whole = expected().set_index("image_id")
    read = read.set_index("image_id").loc[whole.index]
    for column in whole:
        kind = np.float32 if column.startswith("p_") else read[column].dtype
        assert (read[column].astype(kind) == whole[column].astype(kind)).all(), column
    if name.endswith("parquet"):
        assert read_predictions(name).pathologies == ("Edema", "Effusion")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((UNDONE,), "trial vit.probe.s1 has no predictions yet"),
        (("vit.prob.s0",), "no trial or stage 'vit.prob.s0'.*did you mean 'vit.probe.s0'"),
        ((NAME, "--out", "x.npz"), "x.npz is neither .parquet nor .csv"),
    ],
)
def test_what_cannot_be_handed_over_is_said(
    folder: Path, arguments: tuple[str, ...], why: str
) -> None:
    with pytest.raises((BadInput, ValueError), match=why):
        said(folder, *arguments)


def test_damaged_predictions_are_not_handed_over(folder: Path) -> None:
    place = folder / "adapt" / identity("adapt", NAME) / "predictions" / "test.parquet"
    DAMAGES["flip"](place)
    with pytest.raises(BadInput, match=r"cannot be read \(predictions/test.parquet differs"):
        said(folder, NAME)
    assert not Path(f"{NAME}.parquet").exists()
