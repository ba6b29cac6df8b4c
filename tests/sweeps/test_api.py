"""Studies from Python: the example of the documentation as it stands, and what it leaves behind."""

from __future__ import annotations

import doctest
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from analysis.results.results import open_results
from fairfm_core.errors import BadInput
from sweeps import api
from sweeps.api import Study

from ..one_core import ONE_CORE
from ..warm.starting import warm_python
from .conftest import NewDatabase, WriteStudy

ROOT = Path(__file__).parents[2]
KEYS = ["trial", "protocol", "split", "metric", "pathology", "attribute", "group", "definition"]


@pytest.fixture(scope="module")
def example(
    tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase
) -> tuple[Path, str]:
    """The folder in which the example was run as a script, and what it printed."""
    folder = tmp_path_factory.mktemp("example")
    new_database(folder / "results" / "mlflow.db")
    done = subprocess.run(
        [*warm_python(), ROOT / "docs/examples/facade.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | ONE_CORE,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.fixture
def study(example: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Study:
    """The example's study, from the folder that it was run in."""
    monkeypatch.chdir(example[0])
    return Study.read("study.yaml", results="results")


@pytest.mark.ray
@pytest.mark.slow
def test_the_example_runs_as_it_stands(example: tuple[Path, str]) -> None:
    printed = example[1]
    assert printed.count("study first: 2 trials") == 1
    assert "<RunOutcome first: 2 of 2 trials done> {}" in printed
    assert "study first: 2 of 2 done, 0 failed" in printed


@pytest.mark.ray
@pytest.mark.slow
def test_the_docstrings_example_is_true(study: Study) -> None:
    parsed = doctest.DocTestFinder(recurse=False).find(api.Study, "Study", globs={"Study": Study})
    (shown,) = [each for each in parsed if each.examples]
    printed: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(shown, out=printed.append)
    assert result.attempted > 5
    assert not result.failed, "".join(printed)


@pytest.mark.ray
@pytest.mark.slow
def test_metrics_hold_every_stored_number_once(study: Study) -> None:
    metrics = study.metrics()
    assert not metrics.duplicated(KEYS).any()
    assert set(metrics["trial"]) == {"probe.s0", "tune.s0"} == set(study.status().states)
    assert (metrics["trial"].str.split(".").str[0] == metrics["adaptation"]).all()
    results = open_results("results", "first")
    for trial in results.trials:
        stored = results.evaluation("evaluate", trial.evaluate)
        mine = metrics[metrics["trial"] == trial.name]
        for table, is_gap in ((stored.metrics, False), (stored.gaps, True)):
            rows = mine[mine["definition"].notna() == is_gap].reset_index(drop=True)
            pd.testing.assert_frame_equal(rows[table.columns], table)


@pytest.mark.ray
@pytest.mark.slow
def test_the_front_is_that_of_the_command_line(study: Study) -> None:
    front = study.front()
    assert set(front["label"]) == {"probe", "tune"}
    assert front["on_front"].any()
    (auc,) = study.metrics().query(
        "trial == 'tune.s0' and split == 'test' and metric == 'auc' and pathology == 'mean' "
        "and attribute == 'overall'"
    )["value"]
    assert front.set_index("label").loc["tune", "test_auc"] == auc


def test_a_study_that_was_not_run_has_a_plan_and_no_numbers(
    write_study: WriteStudy, tmp_path: Path
) -> None:
    study = Study.read(write_study(), results=tmp_path / "results")
    assert repr(study.status()) == "<StudyStatus small: 0 of 8 done, 0 failed>"
    assert set(study.status().states.values()) == {"to do"}
    assert "networks:\n  test_convnext, 32 px, linear probe:" in study.plan().plan_text()
    assert not (tmp_path / "results").exists()
    for ask in (study.metrics, study.front):
        with pytest.raises(BadInput, match="holds no study"):
            ask()


def test_a_study_with_a_mistake_is_refused_in_one_line(write_study: WriteStudy) -> None:
    with pytest.raises(BadInput, match="did you mean 'seeds'"):
        Study.read(write_study(sedes=[0]))
