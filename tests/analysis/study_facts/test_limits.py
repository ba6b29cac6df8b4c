"""Limits follow from what was run: each is there with its cause, and absent without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.cohort.study_cohort import study_cohorts
from analysis.front.study_analysis import analyse_study
from analysis.study_facts.limits import LIMITS, Evidence, study_limits
from analysis.study_facts.sources import SOURCES
from fairfm_core.data.preparation.kinds import KINDS

Change = Callable[..., Evidence]


@pytest.fixture(scope="module")
def evidence(results_folder: Path) -> Evidence:
    analysis = analyse_study(str(results_folder))
    cohorts = study_cohorts(analysis.results)
    return Evidence(analysis.results, analysis.evaluations, analysis.front, cohorts)


@pytest.fixture(scope="module")
def changed(evidence: Evidence) -> Change:
    """The evidence with another record of the study."""

    def change(settings: dict[str, Any] | None = None, **record: Any) -> Evidence:
        stored = evidence.results.stored
        chosen = stored.spec.evaluation.model_copy(update=settings or {})
        spec = stored.spec.model_copy(update={"evaluation": chosen})
        stored = stored.model_copy(update={"spec": spec, **record})
        return replace(evidence, results=replace(evidence.results, stored=stored))

    return change


def said(name: str, evidence: Evidence) -> str:
    return " ".join(LIMITS[name][1](evidence))


def test_those_of_the_tiny_study(evidence: Evidence) -> None:
    found = {limit.name: " ".join(limit.sentences) for limit in study_limits(evidence)}
    assert "2 seeds" in found["training_runs"]
    assert "30 draws of patients" in found["draws"]
    assert "not known to fairfm" in found["labels"]
    assert "several data sets" in found["not_paired"]
    assert "4 configurations" in found["many_numbers"]
    assert {"made_up_images", "weights", "thresholds", "seen_before"}.isdisjoint(found)


def test_settings_decide(changed: Change) -> None:
    assert not said("draws", changed({"replicates": 100}))
    assert "too narrow" in said("draws", changed({"resampling": "images"}))
    assert "F1" in said("thresholds", changed({"operating_points": ("f1",)}))
    assert "equally weighted images" in said("weights", changed({"protocols": ("balanced",)}))
    assert "also knows race" in said("not_examined", changed({"attributes": ("sex",)}))
    assert not said("not_examined", changed({"attributes": ("race x sex",)}))


def test_the_kind_of_data_decides(evidence: Evidence) -> None:
    def of_kind(kind: str | None) -> Evidence:
        return replace(evidence, cohorts=[replace(evidence.cohorts[0], kind=kind)])

    assert "phantoms" in said("made_up_images", of_kind("phantom"))
    assert not said("one_source", of_kind("phantom"))
    assert not said("labels", of_kind("phantom"))
    assert "reports" in said("labels", of_kind("chexpert"))
    assert "one hospital" in said("one_source", of_kind("chexpert"))
    assert not said("labels", of_kind("vindr-cxr"))
    assert "not known to fairfm" in said("one_source", of_kind("table"))


def test_weights_decide(changed: Change, evidence: Evidence) -> None:
    def with_config(config: dict[str, Any]) -> Evidence:
        first, *others = evidence.results.stored.trials
        return changed(trials=[first.model_copy(update={"config": config}), *others])

    assert "weights of mae_med" in said(
        "seen_before", with_config({"weights": {"model": "mae_med"}})
    )
    seen = {"pretraining": {"exclude_eval_patients": False}}
    assert "exclude_eval_patients" in said("seen_before", with_config(seen))
    assert not said("seen_before", with_config({"pretraining": {"method": "mae"}}))
    assert "recipes" in said("not_tuned", with_config({"seed": 0}))


def test_prevalence_is_compared_between_groups(evidence: Evidence) -> None:
    cohort = evidence.cohorts[0]
    table = cohort.table.copy()
    black = (table["group"] == "Black") & (table["level"] == "positive")
    table.loc[black & (table["variable"] == "label Edema"), "count"] = 1
    told = said("prevalence", replace(evidence, cohorts=[replace(cohort, table=table)]))
    assert "Edema is" in told
    assert "one group of race" in told
    assert not said("prevalence", replace(evidence, cohorts=[cohort]))


def test_every_public_data_set_is_described() -> None:
    assert KINDS.keys() - {"table", "photographs"} == SOURCES.keys()
