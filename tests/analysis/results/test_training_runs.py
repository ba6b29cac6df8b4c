"""A study that repeats its pre-training: labels, intervals, P(front), comparisons and the notes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.evaluation.comparison import ComparisonRequest, compare_configurations
from analysis.front.outputs import front_output, json_front
from analysis.front.study_analysis import analyse_study
from analysis.report.page import write_report
from analysis.results.pooled import pooled_evaluations, pooled_key
from analysis.results.replicates import study_numbers
from analysis.results.results import StudyResults, open_results
from analysis.results.study_record import configuration_label
from analysis.results.training_runs import StartingPoint, shared_pretrainings, training_names
from fairfm_core.artifacts import open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.storage.layout import claim_results

from ..conftest import cohort, identity, study_record, write_trial

SETTINGS = EvaluationSettings(replicates=30, metrics=("auc",), attributes=("sex",))
PAIRS = [(before, seed) for before in (0, 1) for seed in (0, 1)]
TRIALS: dict[str, tuple[str, int | None, int]] = {
    **{f"mae.p{p}.s{s}": ("mae", p, s) for p, s in PAIRS},
    **{f"zoo.s{s}": ("zoo", None, s) for s in (0, 1)},
    **{f"scratch.s{s}": ("scratch", None, s) for s in (0, 1)},
}
STARTS = {"mae": {"pretraining": {"seed": 0}}, "zoo": {"weights": {"model": "x"}}, "scratch": {}}


def trial_record(name: str) -> dict[str, Any]:
    label, before, seed = TRIALS[name]
    weights = {"mae": identity("pretrain", str(before)), "zoo": identity("weights", "zoo")}
    return {
        "name": name,
        "axes": {"weights": label},
        "seed": seed,
        "pretraining_seed": before,
        "group": identity("group", label),
        "adapt": identity("adapt", name),
        "evaluate": identity("evaluate", name),
        "weights": weights.get(label),
        "digest": "d1",
        "config": STARTS[label],
    }


def frames(name: str) -> dict[str, pd.DataFrame]:
    """Pre-trainings differ much, adaptations of one of them little."""
    label, before, seed = TRIALS[name]
    skill = 1.0 if before is None else (0.6, 2.2)[before]
    random = np.random.default_rng([seed, before or 0, *map(ord, label)])
    made = {"val": cohort("val", 60, 9), "test": cohort("test", 80, 2)}
    for frame in made.values():
        for pathology in ("Edema", "Effusion"):
            noise = random.normal(0, 1.2, len(frame))
            score = skill * frame[f"y_{pathology}"] + noise
            frame[f"p_{pathology}"] = 1 / (1 + np.exp(-score))
    return made


def record(**changes: Any) -> dict[str, Any]:
    goals = {"val/auc": "maximize", "val/gap_sex": "minimize"}
    spec = {
        "seeds": {"adaptation": [0, 1], "pretraining": [0, 1]},
        "objectives": [{"metric": name, "goal": goal} for name, goal in goals.items()],
        "evaluation": SETTINGS.model_dump(mode="json"),
    }
    trials = [trial_record(name) for name in TRIALS]
    return study_record(**{"spec": spec, "axes": ["weights"], "trials": trials, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of both levels, and one of the same trials whose seeds are a plain list."""
    path = tmp_path_factory.mktemp("levels")
    store = open_store(str(path))
    claim_results(store)
    both = record()
    plain = both["spec"] | {"seeds": [0, 1]}
    store.write_json(both, "studies", "tiny", "study.json")
    store.write_json(record(study="plain", spec=plain), "studies", "plain", "study.json")
    for name in TRIALS:
        write_trial(store, name, frames(name), SETTINGS)
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> StudyResults:
    return open_results(str(folder), "tiny")


@pytest.mark.slow
def test_pretrainings_with_their_adaptations_are_the_independent_trainings(
    results: StudyResults,
) -> None:
    mae, zoo, scratch = results.configurations
    assert (mae.label, zoo.label, scratch.label) == ("mae", "zoo", "scratch")
    assert [trial.seeds for trial in mae.finished] == ["p0.s0", "p0.s1", "p1.s0", "p1.s1"]
    assert mae.training_runs is not None
    assert mae.training_runs.unit_of == (0, 0, 1, 1)
    assert (mae.pretrainings, zoo.pretrainings) == (2, 0)
    # An adaptation of published weights, and a training from scratch, is independent by itself.
    assert zoo.training_runs is not None
    assert zoo.training_runs.all_apart
    assert scratch.training_runs is not None
    assert scratch.training_runs.all_apart


def test_a_plain_list_has_intervals_of_patients_alone(folder: Path) -> None:
    results = open_results(str(folder), "plain")
    assert [each.training_runs for each in results.configurations] == [None, None, None]


@pytest.mark.slow
def test_intervals_cover_the_spread_between_pretrainings(
    folder: Path, results: StudyResults
) -> None:
    plain = open_results(str(folder), "plain")
    widths = []
    for evaluations in (pooled_evaluations(plain), pooled_evaluations(results)):
        metrics = evaluations[identity("group", "mae")].metrics
        (row,) = metrics.query(
            "split == 'test' and pathology == 'mean' and attribute == 'overall'"
        ).to_dict("records")
        widths.append(row["hi"] - row["lo"])
    assert widths[1] > 3 * widths[0], "two pre-trainings: Student's t of one degree of freedom"


def test_the_key_of_a_pooled_evaluation_depends_on_what_is_independent(
    results: StudyResults,
) -> None:
    trials = results.configurations[0].trials
    assert pooled_key(trials, False) != pooled_key(trials, True)
    assert pooled_key(trials, True) == pooled_key(trials[::-1], True)
    assert pooled_key(trials[:1], False) == pooled_key(trials[:1], True)


def test_a_comparison_tests_pretrainings_and_not_adaptations(folder: Path) -> None:
    """Welch's degrees of freedom of 2 pre-trainings against 2 training runs from scratch."""
    request = ComparisonRequest((("mae", "scratch"),), SETTINGS, (), "test")
    _, table = compare_configurations(str(folder), "tiny", request)
    (auc,) = table[(table["name"] == "auc") & (table["split"] == "test")].to_dict("records")
    _, plain = compare_configurations(str(folder), "plain", request)
    (other,) = plain[(plain["name"] == "auc") & (plain["split"] == "test")].to_dict("records")
    assert auc["difference"] == pytest.approx(other["difference"])
    assert auc["se_seeds"] > 1.3 * other["se_seeds"]
    assert auc["freedom"] < other["freedom"]
    assert "own pre-trainings" in auc["spread"]
    results = open_results(str(folder), "tiny")
    by_group = study_numbers(results).by_group
    key = ("full", "test", "auc")
    mae, scratch = (by_group[identity("group", name)][key] for name in ("mae", "scratch"))
    means = mae.value_S.reshape(2, 2).mean(axis=1)
    expected = np.sqrt(stats.sem(means) ** 2 + stats.sem(scratch.value_S) ** 2)
    assert auc["se_seeds"] == pytest.approx(expected)


@pytest.mark.slow
def test_the_front_counts_both_levels(folder: Path) -> None:
    analysis = analyse_study(str(folder), "tiny")
    rows = {row["label"]: row for row in analysis.front.rows}
    assert (rows["mae"]["seeds"], rows["mae"]["pretrainings"]) == (4, 2)
    plain = analyse_study(str(folder), "plain")
    assert "pretrainings" not in plain.front.table
    # Half of the draws of two different pre-trainings are of one of them twice.
    assert 0 < rows["mae"]["test_p_front"] <= 1


@pytest.mark.slow
def test_front_and_report_say_what_shares_one_pretraining(folder: Path, tmp_path: Path) -> None:
    text = next(iter(front_output(str(folder), "tiny", tmp_path)))
    line = "zoo: published weights are one pre-training: its spread is not in the intervals"
    assert f"note: {line}" in text
    words = " ".join(text.split())
    assert "and of the spread between training runs" in words
    assert "pre-trainings and their seeds" in words
    assert json.loads(json_front(str(folder), "tiny"))["one_pretraining"] == [line]
    page = Path(write_report(str(folder), "tiny", tmp_path)).read_text()
    assert "zoo: published weights are one pre-training" in page
    assert "The intervals also cover the spread between training runs" in page
    assert "but hardly the variation between training runs" not in page
    assert "seed p1.s0" in page
    assert "4 seeds (2 pre-trainings)" in page


def test_what_shares_one_pretraining_is_named() -> None:
    starts = [StartingPoint(name, "one") for name in "abcde"] + [
        StartingPoint("f", "one"),
        StartingPoint("f", "two"),
    ]
    assert shared_pretrainings(
        [*starts, StartingPoint("g", None), StartingPoint("h", None, published=True)]
    ) == [
        "a, b, c and 2 more: all seeds share one pre-training: its spread is not in the intervals",
        "h: published weights are one pre-training: its spread is not in the intervals",
    ]
    assert shared_pretrainings([StartingPoint("g", None)]) == []


def test_with_one_pretraining_the_adaptations_are_what_varies(results: StudyResults) -> None:
    trials = results.configurations[0].trials[:2]
    assert training_names(trials, True) == [trial.adapt for trial in trials]
    assert training_names(trials, False) is None
    assert training_names(trials[:1], True) is None


@pytest.mark.parametrize(
    ("name", "seeds", "label"),
    [
        ("mae.tune.p1.s12", (12, 1), "mae.tune"),
        ("mae.tune.s0", (0, None), "mae.tune"),
        ("p0.s0", (0, 0), "base"),
        ("s0", (0, None), "base"),
        ("p1.s0", (0, None), "p1"),
    ],
)
def test_a_label_is_a_name_without_seeds(
    name: str, seeds: tuple[int, int | None], label: str
) -> None:
    assert configuration_label(name, *seeds) == label


def test_records_of_older_versions_have_one_level(folder: Path) -> None:
    """Without the seeds of pre-trainings, in the specification and in the trials."""
    store = open_store(str(folder))
    older = record(study="older")
    del older["spec"]["seeds"]
    for trial in older["trials"]:
        del trial["pretraining_seed"]
    store.write_json(older, "studies", "older", "study.json")
    results = open_results(str(folder), "older")
    assert {each.training_runs for each in results.configurations} == {None}
    assert results.trials[0].pretraining == identity("pretrain", "0")
