"""`fairfm evaluate --compare`: files, folders of seeds, and configurations of a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from analysis.commands.evaluate import evaluate
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.predictions import write_predictions
from fairfm_core.evaluation.selection.comparison import holm

FEW = ("--replicates", "60")


def run(*args: object) -> Result:
    return CliRunner().invoke(evaluate, [str(arg) for arg in args])


def frame(seed: int, skill: float, split: str = "test") -> pd.DataFrame:
    """Predictions of the same 200 images, better or worse."""
    world, model = np.random.default_rng(7), np.random.default_rng([seed, int(10 * skill)])
    label = world.integers(2, size=200)
    return pd.DataFrame(
        {
            "image_id": [f"{split}{i}" for i in range(200)],
            "patient_id": [f"{split}{i // 2}" for i in range(200)],
            "split": split,
            "sex": world.choice(["F", "M"], 100).repeat(2),
            "race": world.choice(["Black", "White"], 100).repeat(2),
            "y_Edema": label,
            "p_Edema": 1 / (1 + np.exp(-skill * label - model.normal(size=200))),
        }
    )


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A good model with three seeds, a bad one with two, and single files."""
    for name, skill, seeds in (("good", 2.5, 3), ("bad", 0.3, 2)):
        for seed in range(seeds):
            folder = tmp_path / name / f"s{seed}"
            folder.mkdir(parents=True)
            for split in ("val", "test"):
                write_predictions(frame(seed, skill, split), folder / f"{split}.parquet")
    return tmp_path


@pytest.mark.slow
def test_two_sets_of_seeds(models: Path) -> None:
    done = run("--compare", models / "good", models / "bad", "--out", models / "out", *FEW)
    assert done.exit_code == 0, done.output
    table = pd.read_parquet(models / "out" / "comparisons.parquet")
    tested = table[table["p_holm"].notna()]
    assert tested["name"].tolist() == ["auc", "gap_sex", "gap_race"]
    assert set(tested["split"]) == {"test"}
    assert (tested["seeds_a"].iloc[0], tested["seeds_b"].iloc[0]) == (3, 2)
    assert tested["p_holm"].tolist() == pytest.approx(holm(tested["p_value"].tolist()))
    auc = tested.iloc[0]
    assert auc["difference"] > 0.2
    assert auc["lo"] > 0
    assert auc["se_seeds"] > 0
    assert "val" in set(table["split"])
    assert "corrected for these 3 tests" in " ".join(done.output.split())
    assert f"{100 * auc['value_a']:.1f}" in done.output, "in points, as elsewhere"
    assert max(map(len, done.output.splitlines())) <= 120


def test_one_file_against_another_and_a_declared_family(models: Path) -> None:
    good, bad = (models / name / "s0" / "test.parquet" for name in ("good", "bad"))
    pairs = ("--compare", good, bad, "--compare", good, good)
    done = run(*pairs, "--family", "auc", "--out", models / "out", *FEW)
    assert done.exit_code == 0, done.output
    assert "corrected for these" not in done.output
    assert "these differences are descriptive" in done.output
    assert "no p-value: one training each" in done.output


def test_nothing_missing_is_told_as_nan(models: Path) -> None:
    """Columns that are empty in every row, and two seeds that differ as much as models can."""
    for seed, score in enumerate((frame(0, 9.0)["y_Edema"], 0.5)):
        (models / "far" / f"s{seed}").mkdir(parents=True)
        told = frame(0, 1.0).assign(p_Edema=score)
        write_predictions(told, models / "far" / f"s{seed}" / "test.parquet")
    for seed in range(2):
        (models / "bad" / f"s{seed}" / "val.parquet").unlink()
    done = run("--compare", models / "bad", models / "far", "--out", models / "out", *FEW)
    assert done.exit_code == 0, done.output
    assert " nan" not in done.output
    assert "None" not in done.output
    table = pd.read_parquet(models / "out" / "comparisons.parquet")
    auc = table[table["name"] == "auc"].iloc[0]
    assert (auc["lo"], auc["hi"]) == (-1.0, 1.0), "an AUC cannot differ by more than 1"


@pytest.mark.slow
def test_configurations_of_a_study_by_label(results_folder: Path, tmp_path: Path) -> None:
    done = run(results_folder, "--compare", "vit.tune", "cnn.tune", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    table = pd.read_parquet(tmp_path / "comparisons.parquet")
    auc = table[(table["name"] == "auc") & (table["split"] == "test")].iloc[0]
    assert (auc["seeds_a"], auc["seeds_b"]) == (2, 1)
    assert auc["lo"] < auc["difference"] < auc["hi"]
    assert auc["spread"].startswith("a: own seeds; b: the study's: the largest of")
    assert auc["spread"] in done.output, "a spread that is lent is named"
    assert 0 < auc["p_value"] <= auc["p_holm"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.head(150), "predict different images"),
        (lambda f: f.assign(y_Edema=1 - f["y_Edema"]), "'y_Edema' differs"),
        (lambda f: f.assign(patient_id="a" + f["patient_id"]), "'patient_id' differs"),
        (lambda f: f.rename(columns=lambda c: c.replace("Edema", "Mass")), "different pathologies"),
    ],
)
def test_models_that_do_not_pair(
    models: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    write_predictions(spoil(frame(0, 1.0)), models / "odd.parquet")
    good = models / "good" / "s0" / "test.parquet"
    error = run("--compare", good, models / "odd.parquet", "--out", models / "out").exception
    assert isinstance(error, BadInput)
    assert "cannot be paired" in str(error)
    assert said in str(error)
    assert "\n" not in str(error)


@pytest.mark.slow
def test_bad_requests(models: Path, results_folder: Path) -> None:
    good = models / "good"
    for args, said in (
        (("--compare", good, models / "none"), "no predictions at"),
        (("--compare", good, good, "--family", "gap_sexx"), "did you mean 'gap_sex'"),
        ((results_folder, "--compare", "vit.tune", "vit.tun"), "did you mean 'vit.tune'"),
        ((good / "s0", "--metrics", "aucc"), "did you mean 'auc'"),
        ((good / "s0", "--thresholds", "fpr=2"), "between 0 and 1"),
    ):
        error = run(*args, "--out", models / "out", *FEW).exception
        assert isinstance(error, BadInput), args
        assert said in str(error)
    assert run(good, good, "--compare", good, good, "--out", models / "out").exit_code == 2
