"""Halving by shares of the patients and by image sizes: each rung is a training of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.results.results import open_results
from analysis.results.study_record import write_study_record
from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from sweeps.found.reading import read_search
from sweeps.live.trial_counts import TrialCounts
from sweeps.planning.plan import StudyPlan, study_record
from sweeps.planning.study import StudySpec
from sweeps.rungs.study_rungs import study_halving
from sweeps.search.rounds import StudySearch
from sweeps.status.search_outlook import search_outlook
from sweeps.status.status import StudyStatus
from sweeps.status.study_search import advanced, open_search, searched_plan
from sweeps.upkeep.orphans import orphans

TUNE = {"method": "end_to_end", "recipe": "smoke", "epochs": 1, "batch_size": 16}
SEARCH: dict[str, Any] = {
    "configurations": 4,
    "batch": 3,
    "sampler": "random",
    "parameters": {"adaptation.base_lr": {"low": 1e-4, "high": 1e-2, "log": True}},
}
SHARES = {"eta": 3, "fidelity": "fraction", "rungs": [0.25, 0.5]}
SIZES = {"eta": 3, "fidelity": "image_size", "rungs": [16]}


def a_study(study_values: dict[str, Any], halving: object, **changes: Any) -> StudySpec:
    values = {
        **study_values,
        "study": "halved",
        "base": {**study_values["base"], "adaptation": TUNE},
        "matrix": {},
        "seeds": [0],
        "search": {**SEARCH, "halving": halving},
    }
    return StudySpec.model_validate({**values, **changes})


def opened(study: StudySpec, results: Path) -> tuple[StudySearch, StudyPlan]:
    search = open_search(study, open_store(str(results)))
    assert search is not None
    return search, searched_plan(study, search)


def run(study: StudySpec, results: Path) -> StudyPlan:
    """Run a study's search as the runner does, without Ray.

    What an earlier run has stored is taken from there when it is asked for, not before.
    """
    store, reached = open_store(str(results)), set[str]()
    search, plan = opened(study, results)
    while True:
        plan = advanced(study, search, plan, store, reached, {})
        search.journal.write()
        missing = plan.missing(reached)
        for fingerprint, stage in missing.items():
            if not store.is_done(stage.kind, fingerprint):
                run_stage(stage, store, lambda row: None)
        reached |= missing.keys()
        if not missing:
            write_study_record(store, study.study, study_record(plan, "version"))
            return plan


@pytest.fixture(scope="module")
def by_share(
    study_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudySpec, Path]:
    """A study halved by shares of the patients, run to its end."""
    folder = tmp_path_factory.mktemp("shares")
    study = a_study(study_values, SHARES)
    run(study, folder)
    return study, folder


def journal(results: Path) -> Path:
    return results / "studies/halved/search.jsonl"


@pytest.mark.slow
def test_each_rung_is_a_training_on_fewer_patients(by_share: tuple[StudySpec, Path]) -> None:
    study, results = by_share
    search, plan = opened(study, results)
    store = open_store(str(results))
    history = search.journal.history
    assert len(history.told) == 1
    assert {rung for rungs in history.rungs.values() for rung in rungs} == {0.25, 0.5}
    for key, rungs in history.rungs.items():
        for rung, told in rungs.items():
            (stage,) = plan.rung_runs(key, rung)
            assert stage.config["fraction"] == rung
            last = store.artifact("adapt", stage.fingerprint).read_json("history.json")["history"]
            assert told.values == {m: last[-1][m] for m in ("val/auc", "val/gap_sex")}
    whole = {run.fingerprint for key in history.told for run in plan.training_runs(key)}
    assert all("fraction" not in plan.stages[each].config for each in whole)


@pytest.mark.slow
def test_stopped_ones_enter_no_front_and_their_stages_are_kept(
    by_share: tuple[StudySpec, Path],
) -> None:
    study, results = by_share
    search, plan = opened(study, results)
    store = open_store(str(results))
    status = StudyStatus(plan, take_snapshot(store))
    assert not status.missing
    assert status.stopped["at 0.25 of the training patients"] in (2, 3)
    assert sum(status.stopped.values()) == 3
    found = open_results(str(results))
    assert len(found.configurations) == len(search.journal.history.told) == 1
    assert found.stopped == status.stopped
    assert not found.unfinished
    assert not [each for each in orphans(store) if each.place.startswith("adapt")]
    assert read_search(str(results)).paused("base") == {
        f"stopped {place}": count for place, count in status.stopped.items()
    }


@pytest.mark.slow
def test_killed_at_any_line_it_decides_the_same(
    by_share: tuple[StudySpec, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained is stored, so nothing is trained again."""
    study, results = by_share
    whole = journal(results).read_bytes()
    lines = whole.splitlines(keepends=True)
    monkeypatch.setattr(f"{__name__}.run_stage", None)
    for count in range(1, len(lines)):
        journal(results).write_bytes(b"".join(lines[:count]) + lines[count][:5])
        run(study, results)
        assert journal(results).read_bytes() == whole


@pytest.mark.slow
def test_without_halving_the_others_are_trained_whole(
    by_share: tuple[StudySpec, Path], study_values: dict[str, Any]
) -> None:
    study, results = by_share
    off = StudySpec.model_validate(
        {**study.model_dump(mode="json"), "search": {**SEARCH, "sampler": "random"}}
    )
    _, plan = opened(off, results)
    missing = plan.missing(take_snapshot(open_store(str(results))).reached)
    assert sum(stage.kind == "adapt" for stage in missing.values()) == 3
    assert not any("fraction" in stage.config for stage in missing.values())


# Without training


def first_round(study: StudySpec, results: Path) -> StudyPlan:
    search, _ = opened(study, results)
    search.next_round()
    return searched_plan(study, search)


def test_smaller_images_are_stages_of_their_own(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    plan = first_round(a_study(study_values, SIZES), tmp_path)
    missing = plan.missing(frozenset())
    assert [stage.kind for stage in missing.values()] == ["adapt"] * 3
    assert {stage.config["backbone"]["image_size"] for stage in missing.values()} == {16}
    assert {trial.backbone.image_size for trial in plan.trained} == {16, 32}
    assert plan.missing(frozenset(missing)) == {}
    assert all(plan.is_stopped(trial, frozenset(missing)) for trial in plan.trials)
    shown = StudyStatus(plan, take_snapshot(open_store(str(tmp_path)))).plan_text()
    assert "  adapt: 6, 0, 3, " in shown  # the whole ones are neither done nor to be run yet
    assert "  evaluate: 3, 0, 0, 0" in shown
    record = study_record(plan, "version")["trials"][0]
    assert record["search"]["until"] == 16
    assert record["search"]["fidelity"] == "image_size"
    assert record["smaller"][0] in missing


def test_two_configurations_of_one_training_get_their_values_at_both_rungs(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    """Two labels of an axis mean the same: each has a search of its own."""
    search = {**SEARCH, "first": [{"adaptation.base_lr": 1e-3}], "halving": SHARES}
    study = a_study(
        study_values,
        SHARES,
        matrix={"data.sampling": {"one": "standard", "two": "standard"}},
        search=search,
    )
    found, _ = opened(study, tmp_path)
    found.next_round()
    until = {**found.journal.history.until, ("one", 1): 0.5}
    plan = searched_plan(study, found).pausing(until)
    (trial,) = [each for each in plan.trials if each.name == "one.c001.s0"]
    wanted = {each.config["fraction"] for each in plan.missing(frozenset()).values()}
    assert plan.pauses[trial.adapt.fingerprint] == (0.25, 0.5)
    assert wanted == {0.25, 0.5}
    del until[("two", 1)]
    assert trial.adapt.fingerprint in plan.pausing(until).missing(frozenset())


def test_live_counts_call_a_trial_paused_when_its_smaller_training_ends(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    plan = first_round(a_study(study_values, SHARES), tmp_path)
    counts = TrialCounts(StudyStatus(plan, take_snapshot(open_store(str(tmp_path)))))
    first, *_ = plan.missing(frozenset()).values()
    assert counts.finished(first) == []
    assert len(counts.paused) == 1
    assert not counts.done
    assert len(counts.failed_with(list(plan.missing(frozenset()).values())[1])[0]) == 1


def test_the_plan_shows_what_each_rung_costs(study_values: dict[str, Any], tmp_path: Path) -> None:
    study = a_study(study_values, SIZES)
    search, plan = opened(study, tmp_path)
    shown = search_outlook(study, search, plan).text()
    assert sum(each.startswith("    adaptation.base_lr ") for each in shown) == 10  # a sample
    assert "still to ask for: 4 configurations, about " in shown[-1]
    (line,) = [each for each in shown if "halving" in each]
    assert line == (
        "  halving: one in 3 goes on after 16 of 32 pixels: 4 fine-tunings are "
        "expected to cost as much as 2.3 whole ones (58%)"
    )
    study = a_study(study_values, SHARES)
    search, _ = opened(study, tmp_path)
    halving = search_outlook(study, search, plan).halving
    assert halving is not None
    assert halving.share > 0.25 + 0.5 / 3 + 1 / 9  # every epoch sees all validation images


def test_a_share_too_small_for_its_sampling_is_refused_before_the_start(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    study = a_study(study_values, {"fidelity": "fraction", "rungs": [0.001]})
    with pytest.raises(BadInput, match=r"data\.fraction 0\.001 leaves no patient of \d+ in the"):
        first_round(study, tmp_path)


def test_a_size_that_is_searched_is_not_halved(study_values: dict[str, Any]) -> None:
    sizes = {"backbone.image_size": [16, 32], **SEARCH["parameters"]}
    with pytest.raises(ValueError, match=r"backbone\.image_size is searched, and halving decides"):
        a_study(study_values, None, search={**SEARCH, "parameters": sizes, "halving": SIZES})
    shares = {"data": {"half": {"fraction": 0.5}, "all": {}}, **SEARCH["parameters"]}
    with pytest.raises(ValueError, match=r"data\.fraction is searched, and halving decides on"):
        a_study(study_values, None, search={**SEARCH, "parameters": shares, "halving": SHARES})


def test_image_sizes_are_no_rungs_of_encoders_that_are_pre_trained_here(
    study_values: dict[str, Any],
) -> None:
    data = study_values["base"]["data"]
    mae = {"method": "mae", "recipe": "smoke", "corpora": [data["dataset"]]}
    vit = {
        "name": "vit_tiny_patch16_224",
        "image_size": 32,
        "channels": 1,
        "options": {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3},
    }
    base = {"data": data, "adaptation": TUNE, "backbone": vit, "weights": {"pretraining": mae}}
    with pytest.raises(BadInput, match="image_size would pre-train an encoder for each size"):
        study_halving(a_study(study_values, SIZES, base=base))
    assert study_halving(a_study(study_values, SHARES, base=base)) is not None


def test_rungs_lie_below_the_share_of_the_study(study_values: dict[str, Any]) -> None:
    base = {**study_values["base"], "adaptation": TUNE}
    base["data"] = {**base["data"], "fraction": 0.4}
    with pytest.raises(BadInput, match=r"must lie below the 0\.4 shares of the training patients"):
        study_halving(a_study(study_values, SHARES, base=base))
    assert np.isclose(
        study_halving(a_study(study_values, {**SHARES, "rungs": [0.2]}, base=base)).rungs_of.whole[
            "base"
        ],
        0.4,
    )
