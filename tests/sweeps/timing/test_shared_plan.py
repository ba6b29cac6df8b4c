"""Several studies together: every distinct stage once, and the two ratios against a plain sum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fairfm_core.artifacts import open_store
from sweeps.cli import cli
from sweeps.planning.study import read_study
from sweeps.status.status import study_status
from sweeps.timing.operations import PER_SECOND, gpu_hours
from sweeps.timing.shared_plan import SharedPlan

VIT = {
    "name": "test_vit",
    "image_size": 32,
    "channels": 1,
    "options": {"patch_size": 8},
}
TUNE = {"method": "end_to_end", "recipe": "smoke", "epochs": 2}
PROBE = {"method": "linear_probe", "recipe": "smoke"}


def written(folder: Path, name: str, data: Path, **weights: Any) -> Path:
    """A study of two seeds with these weights by label."""
    study = {
        "study": name,
        "base": {"data": {"dataset": str(data)}, "backbone": VIT, "adaptation": TUNE},
        "matrix": {"weights": weights},
        "include": [{"name": "probed", "weights": weights["long"], "adaptation": PROBE}],
        "seeds": [0, 1],
        "evaluation": {"replicates": 10},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory, phantom_folder: Path) -> list[Path]:
    """Two studies that share a pre-training with all that follows."""
    folder = tmp_path_factory.mktemp("studies")

    def mae(epochs: int) -> dict[str, Any]:
        own = {"method": "mae", "recipe": "smoke", "epochs": epochs}
        return {"pretraining": {**own, "corpora": [str(phantom_folder)]}}

    return [
        written(folder, "one", phantom_folder, short=mae(3), long=mae(9)),
        written(folder, "two", phantom_folder, long=mae(9), none="scratch"),
    ]


@pytest.fixture(scope="module")
def shared(studies: list[Path], tmp_path_factory: pytest.TempPathFactory) -> SharedPlan:
    store = open_store(str(tmp_path_factory.mktemp("results")))
    return SharedPlan(tuple(study_status(read_study(path), store) for path in studies))


def test_no_stage_is_there_twice(shared: SharedPlan) -> None:
    kinds = [stage.kind for stage in shared.stages.values()]
    assert kinds.count("pretrain") == 2
    assert kinds.count("features") == 1
    assert kinds.count("adapt") == 2 * (3 + 1)
    assert len(shared.shared) == 4
    assert "two long.s0 is one long.s0" in shared.shared


def test_the_ratios_are_those_of_plain_sums(shared: SharedPlan) -> None:
    hours = {f: amount.hours for f, amount in shared.amounts.items()}
    once = sum(hours.values())
    rows = studies = 0.0
    for study in shared.studies:
        studies += sum(hours[f] for f in study.plan.stages)
        for label in {trial.label for trial in study.plan.trials}:
            own = [t for t in study.plan.trials if t.label == label]
            rows += sum(hours[f] for f in {s.fingerprint for t in own for s in t.stages})
    assert shared.each_row.over(shared.once) == pytest.approx(rows / once)
    assert shared.each_study.over(shared.once) == pytest.approx(studies / once)
    assert rows > studies > once > 0


def test_operations_are_those_of_the_layers(shared: SharedPlan) -> None:
    """Two operations for each weight and token: the MLPs and projections of a small ViT."""
    (features,) = (s for s in shared.stages.values() if s.kind == "features")
    per_image = gpu_hours(features, 1) * PER_SECOND * 3600
    width, depth, tokens = 64, 6, 17
    assert per_image > 2 * depth * tokens * (4 * width**2)


def test_the_command_shows_both(studies: list[Path], tmp_path: Path) -> None:
    command = ["sweep", "plan", *map(str, studies), "--results", str(tmp_path / "results")]
    text = CliRunner().invoke(cli, command).output
    assert "2 studies: 12 trials, 8 of them distinct" in text
    assert "one pipeline for each row, with its seeds: " in text
    values = json.loads(CliRunner().invoke(cli, [*command, "--json"]).output)
    assert values["ratio_rows"] > values["ratio_studies"] > 1
    assert values["stages"]["adapt"] == 8
