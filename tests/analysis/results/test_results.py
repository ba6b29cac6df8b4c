"""Opening a results folder: which study, what is done, what is not and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.results.pooled import pooled_evaluations
from analysis.results.results import open_results
from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput


def test_the_only_study_is_opened_without_its_name(results_folder: Path) -> None:
    results = open_results(str(results_folder))
    assert results.study == "tiny"
    assert results.axes == ("backbone", "adaptation")
    labels = [configuration.label for configuration in results.configurations]
    assert labels == ["vit.probe", "vit.tune", "cnn.probe", "cnn.tune"]


def test_unfinished_trials_keep_their_reason(results_folder: Path) -> None:
    results = open_results(str(results_folder), "tiny")
    (failed,) = results.unfinished
    assert (failed.name, failed.failure) == ("cnn.tune.s1", "adapt: loss is NaN after step 7")
    last = results.configurations[-1]
    assert last.missing_seeds == ("1",)
    assert [trial.seed for trial in last.finished] == [0]


def test_predictions_hold_both_splits(results_folder: Path) -> None:
    results = open_results(str(results_folder))
    predictions = results.predictions(results.trials[0])
    assert set(predictions.frame["split"]) == {"val", "test"}


@pytest.mark.slow
def test_pooled_values_are_means_over_seeds_and_are_kept(results_folder: Path) -> None:
    results = open_results(str(results_folder))
    first = results.configurations[0]
    pooled = pooled_evaluations(results)[first.group].gaps["value"]
    single = [results.evaluation("evaluate", trial.evaluate).gaps for trial in first.finished]
    means = sum(gaps["value"] for gaps in single) / len(single)
    assert (pooled - means).abs().max() < 1e-12
    again = pooled_evaluations(open_results(str(results_folder)))[first.group]
    assert again.gaps["value"].equals(pooled)
    assert len(list((results_folder / "pooled").iterdir())) == 3  # one seed needs no pooling


def test_unknown_study_names_the_known_ones(results_folder: Path) -> None:
    with pytest.raises(BadInput, match=r"no study 'tony' .*did you mean 'tiny'.*it has tiny"):
        open_results(str(results_folder), "tony")


def test_several_studies_must_be_named(
    tmp_path: Path, study_json: Callable[[str], dict[str, object]]
) -> None:
    store = open_store(str(tmp_path))
    for name in ("one", "two"):
        store.write_json(study_json(name), "studies", name, "study.json")
    with pytest.raises(BadInput, match="several studies; add --study one or two"):
        open_results(str(tmp_path))


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_a_folder_without_studies_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no study"):
        open_results(str(tmp_path / folder))


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    open_store(str(tmp_path)).write_json({"schema": 99}, "fairfm.json")
    with pytest.raises(BadInput, match="schema version 99"):
        open_results(str(tmp_path))
