"""Seeds on two levels: every pre-training at every adaptation seed, as repetitions of one
configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from fairfm_core.artifacts import open_store
from fairfm_core.config.yaml_input import validated
from fairfm_core.errors import BadInput
from fairfm_core.snapshot import take_snapshot
from sweeps.planning.expansion import expand
from sweeps.planning.plan import StudyPlan, make_plan, study_record
from sweeps.planning.study import StudySpec
from sweeps.status.status import StudyStatus

VIT = {"name": "test_vit", "image_size": 32, "channels": 1, "options": {"patch_size": 8}}
PROBE = {"method": "linear_probe", "recipe": "smoke"}
BOTH = {"adaptation": [0, 1, 2], "pretraining": [5, 6]}


def values(study_values: dict[str, Any], seeds: Any = BOTH, **changes: Any) -> dict[str, Any]:
    """Random weights beside two pre-trainings on the study's own images."""
    data = study_values["base"]["data"]
    mae = {"method": "mae", "recipe": "smoke", "batch_size": 64, "corpora": [data["dataset"]]}
    weights = {
        "scratch": "scratch",
        "mae": {"pretraining": mae},
        "half": {"pretraining": mae | {"fraction": 0.5}},
    }
    return {
        **study_values,
        "base": {"data": data, "backbone": VIT, "adaptation": PROBE},
        "matrix": {"weights": weights},
        "seeds": seeds,
        **changes,
    }


def read(raw: dict[str, Any]) -> StudySpec:
    return validated(StudySpec, raw, "study.yaml")


@pytest.fixture(scope="module")
def plan(study_values: dict[str, Any]) -> StudyPlan:
    return make_plan(read(values(study_values)))


def test_every_pair_of_seeds_where_there_is_a_pretraining(study_values: dict[str, Any]) -> None:
    trials = expand(read(values(study_values)))
    assert [t.name for t in trials if t.axes["weights"] == "scratch"] == [
        "scratch.s0",
        "scratch.s1",
        "scratch.s2",
    ]
    mae = [t for t in trials if t.axes["weights"] == "mae"]
    assert [t.name for t in mae] == [f"mae.p{p}.s{s}" for p in (5, 6) for s in (0, 1, 2)]
    seeds = [(t.trial.pretraining.seed, t.trial.seed) for t in mae if t.trial.pretraining]
    assert seeds == [(p, s) for p in (5, 6) for s in (0, 1, 2)]
    assert len(trials) == 3 + 6 + 6


def test_a_pretraining_under_its_own_key_is_repeated_too(study_values: dict[str, Any]) -> None:
    raw = values(study_values)
    before = {"method": "mae", "corpora": raw["matrix"]["weights"]["mae"]["pretraining"]["corpora"]}
    own = {**raw, "base": {**raw["base"], "pretraining": before}, "matrix": {}}
    assert [t.name for t in expand(read(own))] == [f"p{p}.s{s}" for p in (5, 6) for s in (0, 1, 2)]


def test_a_plain_list_stays_what_it_is(study_values: dict[str, Any]) -> None:
    """Same trials, same record: a fingerprint of a study with a plain list does not change."""
    plain, alone = (read(values(study_values, seeds)) for seeds in ([0, 1], {"adaptation": [0, 1]}))
    assert plain == alone
    assert plain.model_dump(mode="json")["seeds"] == [0, 1]
    assert [t.name for t in expand(plain)][:3] == ["scratch.s0", "scratch.s1", "mae.s0"]
    assert yaml.safe_load(yaml.safe_dump(read(values(study_values)).model_dump(mode="json")))[
        "seeds"
    ] == {"adaptation": [0, 1, 2], "pretraining": [5, 6]}


def test_a_configuration_is_one_at_all_seeds_of_both_levels(plan: StudyPlan) -> None:
    groups = {trial.name: trial.group for trial in plan.trials}
    by_label = {
        label: {group for name, group in groups.items() if name.startswith(f"{label}.")}
        for label in ("scratch", "mae", "half")
    }
    assert all(len(found) == 1 for found in by_label.values()), by_label
    assert len(set.union(*by_label.values())) == 3
    assert [trial.label for trial in plan.trials][::6] == ["scratch", "mae", "half"]


def test_a_share_of_the_patients_is_drawn_anew_and_stays_one_configuration(
    plan: StudyPlan,
) -> None:
    """The corpora of two seeds differ, and with them their digests; the configuration does not."""
    half = [trial.trial.pretraining for trial in plan.trials if trial.label == "half"]
    assert len({recipe.digest for recipe in half if recipe}) == 2


def test_each_seed_is_a_pretraining_of_its_own(plan: StudyPlan) -> None:
    stages = [stage for stage in plan.stages.values() if stage.kind == "pretrain"]
    assert len(stages) == len(plan.pretrainings) == 4
    assert {record.name.rsplit(".", 1)[-1] for record in plan.pretrainings} == {"p5", "p6"}


def test_the_first_seed_is_the_configuration_of_a_plain_list(study_values: dict[str, Any]) -> None:
    """A study that repeats its pre-training later keeps what it has."""
    both = make_plan(read(values(study_values, {"adaptation": [0], "pretraining": [0, 1]})))
    plain = make_plan(read(values(study_values, [0])))
    shared = {trial.adapt.fingerprint: trial.group for trial in plain.trials}
    again = {t.adapt.fingerprint: t.group for t in both.trials if t.pretraining_seed != 1}
    assert shared == again


def test_the_record_names_both_seeds(plan: StudyPlan) -> None:
    record = json.loads(json.dumps(study_record(plan, "test")))
    seeds = {t["name"]: (t["pretraining_seed"], t["seed"]) for t in record["trials"]}
    assert seeds["mae.p6.s2"] == (6, 2)
    assert seeds["scratch.s2"] == (None, 2)
    assert record["spec"]["seeds"] == BOTH


def printed(plan: StudyPlan, folder: Any) -> str:
    return StudyStatus(plan, take_snapshot(open_store(str(folder)))).plan_text()


def test_the_plan_counts_both_levels(plan: StudyPlan, tmp_path: Any) -> None:
    text = printed(plan, tmp_path)
    assert (
        "seeds:\n  2 pre-trainings x 3 adaptations for each configuration with a pre-training "
        "(6 trials), 3 trials for others; intervals cover the spread between training runs\n"
        in text
    )
    assert "share one pre-training" not in text


@pytest.mark.parametrize("seeds", [[0, 1], {"adaptation": [0, 1], "pretraining": [3]}])
def test_the_plan_says_what_shares_one_pretraining(
    study_values: dict[str, Any], tmp_path: Any, seeds: Any
) -> None:
    text = printed(make_plan(read(values(study_values, seeds))), tmp_path)
    assert (
        "  mae, half: all seeds share one pre-training: its spread is not in the intervals\n"
        in text
    )


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ({}, "seeds: give at least one seed"),
        ({"adaptation": []}, r"seeds.adaptation: give at least one seed.*not \[\]"),
        (BOTH | {"pretraining": []}, r"seeds.pretraining: give at least one seed.*not \[\]"),
        (BOTH | {"pretraining": [1, 1]}, r"seeds.pretraining: .*each only once, not \[1, 1\]"),
        (BOTH | {"pretraining": [True, 2]}, "seeds.pretraining: seeds are whole numbers, not true"),
        ([False, 2], r"seeds: seeds are whole numbers, not true or false: \[False, 2\]"),
        (BOTH | {"pretraining": 3}, r"seeds.pretraining: must be a list, not 3: write \[3\]"),
        (BOTH | {"pretraining": [0.5]}, "seeds.pretraining.0: must be a whole number, not 0.5"),
        (BOTH | {"adaption": [1]}, "unknown key 'seeds.adaption' .did you mean 'adaptation'"),
        ("all", "seeds: must be a list, not 'all'"),
    ],
)
def test_mistakes_are_refused_in_one_line(
    study_values: dict[str, Any], seeds: Any, message: str
) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read(values(study_values, seeds))
    assert "\n" not in str(caught.value)


def test_a_negative_seed_of_a_pretraining_is_refused(study_values: dict[str, Any]) -> None:
    seeds = {"adaptation": [0], "pretraining": [-1]}
    with pytest.raises(BadInput, match="seed: must be at least 0, not -1"):
        expand(read(values(study_values, seeds)))


def test_seeds_of_pretrainings_need_a_pretraining(study_values: dict[str, Any]) -> None:
    raw = values(study_values, matrix={"weights": ["scratch"]})
    with pytest.raises(BadInput, match="no trial has a pre-training"):
        read(raw)


def test_an_axis_of_the_same_seeds_is_refused(study_values: dict[str, Any]) -> None:
    raw = values(study_values)
    base = {**raw["base"], "weights": raw["matrix"]["weights"]["mae"]}
    matrix = {"weights.pretraining.seed": [0, 1]}
    with pytest.raises(BadInput, match=r"the axis 'weights.pretraining.seed' list the same seeds"):
        read(raw | {"base": base, "matrix": matrix})
    assert len(expand(read(raw | {"base": base, "matrix": matrix, "seeds": [0]}))) == 2


def test_a_seed_that_a_trial_writes_itself_is_refused(study_values: dict[str, Any]) -> None:
    raw = values(study_values)
    own = {"name": "own", "weights": {"pretraining": {"method": "mae", "seed": 3}}}
    with pytest.raises(BadInput, match=r"is 3 in a trial, and seeds.pretraining lists \[5, 6\]"):
        read(raw | {"include": [own]})
