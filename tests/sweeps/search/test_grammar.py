"""The search section of a study: what it may say, and what is refused in one line."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.yaml_input import faults_of
from sweeps.planning.expansion import expand
from sweeps.planning.study import StudySpec, study_searches
from sweeps.search.asked import AskedConfiguration
from sweeps.search.domains import Range

from .conftest import CONDITIONAL, PARAMETERS, PROBE, TUNE, MakeStudy

MATRIX = {"adaptation": {"probe": PROBE, "tune": TUNE}}
LR = {"adaptation.base_lr": {"low": 1e-5, "high": 1e-2}}


def refusal(make_study: MakeStudy, search: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        make_study(search, **changes)
    (fault,) = faults_of(StudySpec, raised.value)
    return fault


def parameters(**spaces: Any) -> dict[str, Any]:
    return {"parameters": {name.replace("__", "."): space for name, space in spaces.items()}}


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (
            parameters(adaptation__base_rl={"low": 1e-5, "high": 1e-2}),
            "unknown parameter 'adaptation.base_rl' (did you mean 'adaptation.base_lr'?)",
        ),
        (
            parameters(adaptation__base_lr={"low": 1e-2, "high": 1e-5}),
            "adaptation.base_lr: low 0.01 must be below high 1e-05",
        ),
        (
            parameters(adaptation__base_lr={"low": 0, "high": 1e-2, "log": True}),
            "adaptation.base_lr: low 0 has no logarithm",
        ),
        (parameters(adaptation__base_lr={"low": 0.1}), "adaptation.base_lr: high: is required"),
        (
            parameters(adaptation__base_lr={"low": 0.1, "high": 1, "logg": True}),
            "unknown key 'logg' (did you mean 'log'?)",
        ),
        (
            parameters(adaptation__epochs={"low": 1.5, "high": 9, "int": True}),
            "adaptation.epochs: 1.5 to 9: int needs a whole low and high",
        ),
        (
            parameters(adaptation__drop_path={"low": 0, "high": 0.1, "step": 0.5}),
            "adaptation.drop_path: step 0.5 is wider than 0 to 0.1",
        ),
        (
            parameters(adaptation__base_lr={"low": 1, "high": 8, "step": 1, "log": True}),
            "step and log cannot be combined",
        ),
        (parameters(adaptation__base_lr=[0.1]), "has only one value, 0.1: put it in base"),
        (parameters(adaptation__base_lr=0.1), "adaptation.base_lr: 0.1 is no space"),
        (parameters(seed={"low": 0, "high": 9, "int": True}), "list the seeds under `seeds`"),
        (parameters(data__dataset=["a", "b"]), "make it an axis of the matrix"),
        ({"parameters": {}}, "give at least one parameter"),
        ({"sampler": "tpee"}, "sampler 'tpee' is not known (did you mean 'tpe'?)"),
        (
            {"sampler": "gp", "parameters": CONDITIONAL},
            "search.sampler: gp cannot search conditional parameters",
        ),
        (
            {"constraints": [{"metric": "test/auc", "at_least": 0.7}]},
            "must be on a metric that starts with 'val/'",
        ),
        ({"constraints": [{"metric": "val/auc"}]}, "give either at_least or at_most"),
        (
            {"constraints": [{"metric": "val/acu", "at_least": 0.7}]},
            "unknown number 'acu' (did you mean 'auc'?)",
        ),
        ({"configurations": 0}, "search.configurations: must be at least 1, not 0"),
        ({"replicates": {"start": 3, "confirm": 3}}, "confirm 3 must be above start 3"),
        ({"replicates": {"settled": [0.9, 0.1]}}, "must be two probabilities, low first"),
        (
            {"first": [{"adaptation.base_rl": 1}]},
            "search.first names 'adaptation.base_rl' (did you mean 'adaptation.base_lr'?)",
        ),
        ({"first": [{"adaptation.base_lr": 1}]}, "adaptation.base_lr: 1 is outside 0.0001 to 0.01"),
        (
            {"parameters": CONDITIONAL, "first": [{"adaptation": "prob"}]},
            "'prob' is not one of its labels (did you mean 'probe'?)",
        ),
        (
            {
                "parameters": CONDITIONAL,
                "first": [{"adaptation": "probe", "adaptation.base_lr": 1e-3}],
            },
            "fits no cell of the matrix",
        ),
        (
            parameters(adaptation__lr={"low": 0, "high": 1, "when": {"adaptatoin": "probe"}}),
            "`when` names 'adaptatoin', which is no axis",
        ),
    ],
)
def test_a_slip_is_refused_in_one_line(
    make_study: MakeStudy, search: dict[str, Any], said: str
) -> None:
    fault = refusal(make_study, search)
    assert said in fault
    assert "\n" not in fault


def test_a_parameter_on_an_axis_and_searched_is_refused(make_study: MakeStudy) -> None:
    fault = refusal(make_study, {"parameters": LR}, matrix={"adaptation.base_lr": [1e-3, 1e-2]})
    assert "'adaptation.base_lr' is searched, and axis 'adaptation.base_lr' sets it" in fault


def test_a_label_that_sets_what_is_searched_is_refused(make_study: MakeStudy) -> None:
    tune = {**TUNE, "base_lr": 1e-3}
    fault = refusal(make_study, {"parameters": LR}, matrix={"adaptation": {"a": TUNE, "b": tune}})
    assert "axis 'adaptation' sets it with label 'b'" in fault
    only = {"adaptation.base_lr": {**LR["adaptation.base_lr"], "when": {"adaptation": "a"}}}
    make_study({"parameters": only}, matrix={"adaptation": {"a": TUNE, "b": tune}})
    nested = {"adaptation": {"b": {"value": tune, "parameters": LR}, "a": TUNE}}
    assert "label 'b' sets adaptation.base_lr" in refusal(make_study, {"parameters": nested})


def test_more_seeds_than_replicates_are_refused(make_study: MakeStudy) -> None:
    fault = refusal(make_study, {"replicates": {"confirm": 2}}, seeds=[0, 1, 2])
    assert "seeds lists 3 seeds and search.replicates.confirm is 2" in fault


def test_a_study_without_a_search_is_recorded_as_before(study_values: dict[str, Any]) -> None:
    assert "search" not in StudySpec.model_validate(study_values).model_dump(mode="json")


def test_a_searched_study_survives_its_record(make_study: MakeStudy) -> None:
    study = make_study({"parameters": CONDITIONAL, "replicates": {}})
    assert StudySpec.model_validate(study.model_dump(mode="json")).search == study.search


def test_a_range_in_exponents_is_read_as_numbers(make_study: MakeStudy) -> None:
    (searched,) = study_searches(make_study())
    domain = searched.space.parameters[0].domain
    assert isinstance(domain, Range)
    assert (domain.low, domain.high) == (1e-4, 1e-2)


def test_numbers_have_four_digits_and_stay_inside() -> None:
    domain = Range(low=0.123456, high=0.2)
    assert domain.nearest(0.12341) == 0.123456
    assert domain.nearest(0.150049) == 0.15
    stepped = Range.model_validate({"low": 1, "high": 9, "step": 4, "int": True})
    assert [stepped.at(share) for share in (0, 0.5, 0.99, 1)] == [1, 5, 9, 9]
    assert Range(low=1e-4, high=1, log=True).at(0.5) == 0.01


def test_each_cell_has_a_search_with_the_parameters_of_its_label(make_study: MakeStudy) -> None:
    only = {name: {**space, "when": {"adaptation": "tune"}} for name, space in PARAMETERS.items()}
    spaces = {"data.sampling": ["standard", "balanced"], **only}
    probe, tune = study_searches(make_study({"parameters": spaces}, matrix=MATRIX))
    assert (probe.cell, tune.cell) == ("probe", "tune")
    assert [each.path for each in probe.space.parameters] == ["data.sampling"]
    assert [each.path for each in tune.space.parameters] == ["data.sampling", *PARAMETERS]
    assert not tune.space.conditional
    assert (probe.configurations, tune.configurations) == (2, 60)


def test_over_all_the_cell_is_a_parameter(make_study: MakeStudy) -> None:
    only = {name: {**space, "when": {"adaptation": "tune"}} for name, space in PARAMETERS.items()}
    spaces = {"data.sampling": ["standard", "balanced"], **only}
    (one,) = study_searches(make_study({"parameters": spaces, "over": "all"}, matrix=MATRIX))
    assert [each.name for each in one.space.parameters] == ["cell", "data.sampling", *PARAMETERS]
    drawn = one.space.drawn(lambda parameter: parameter.domain.at(0.0), {})
    assert drawn == {"cell": "probe", "data.sampling": "standard"}
    assert one.labels_of(drawn) == {"adaptation": "probe"}


def test_a_label_has_parameters_of_its_own(make_study: MakeStudy) -> None:
    (one,) = study_searches(make_study({"parameters": CONDITIONAL}))
    low = one.space.drawn(lambda parameter: parameter.domain.at(0.0), {})
    high = one.space.drawn(lambda parameter: parameter.domain.at(1.0), {})
    assert low == {"adaptation": "probe", "adaptation.lr": 0.01}
    assert high == {"adaptation": "tune", "adaptation.base_lr": 0.01, "adaptation.drop_path": 0.3}


def test_the_size_of_a_space(make_study: MakeStudy) -> None:
    few = {
        "adaptation": {
            "probe": {
                "value": PROBE,
                "parameters": {"adaptation.epochs": {"low": 2, "high": 4, "int": True}},
            },
            "tune": TUNE,
        },
        "data.sampling": ["standard", "balanced"],
    }
    (one,) = study_searches(make_study({"parameters": few}))
    assert one.space.size == (3 + 1) * 2 == one.configurations
    (endless,) = study_searches(make_study())
    assert endless.space.size == math.inf


def test_a_first_point_belongs_to_the_cells_that_it_fits(make_study: MakeStudy) -> None:
    only = {name: {**space, "when": {"adaptation": "tune"}} for name, space in PARAMETERS.items()}
    search = {
        "parameters": {"data.sampling": ["standard", "balanced"], **only},
        "first": [{"adaptation.base_lr": "1e-3"}, {"data.sampling": "balanced"}],
    }
    probe, tune = study_searches(make_study(search, matrix=MATRIX))
    assert probe.firsts == ({"data.sampling": "balanced"},)
    assert tune.firsts == ({"adaptation.base_lr": 1e-3}, {"data.sampling": "balanced"})


def test_configurations_become_trials_of_their_own_names(make_study: MakeStudy) -> None:
    asked = [
        AskedConfiguration("tune", "tune", n, {"adaptation.base_lr": lr}, (0, 1), (1, 1))
        for n, lr in ((1, 1e-3), (2, 5e-3))
    ]
    only = {
        "adaptation.base_lr": {**PARAMETERS["adaptation.base_lr"], "when": {"adaptation": "tune"}}
    }
    study = make_study(
        {"parameters": {"data.sampling": ["standard", "balanced"], **only}},
        matrix=MATRIX,
        include=[{"name": "fixed", "data": {"sampling": "balanced"}}],
    )
    trials = expand(study, asked)
    assert [trial.name for trial in trials] == [
        "fixed.s0",
        *("tune.c001.s0", "tune.c001.s1", "tune.c002.s0", "tune.c002.s1"),
    ]
    adaptations = [trial.trial.adaptation for trial in trials[1::2]]
    assert [a.base_lr for a in adaptations if isinstance(a, EndToEnd)] == [1e-3, 5e-3]


def test_what_is_made_equal_does_not_depend_on_what_was_asked(make_study: MakeStudy) -> None:
    """The zoo suggests other epochs for each of these weights; all may be asked for later."""
    search = {
        "parameters": {
            "weights": {"mae": {"model": "mae_med", "file": "a"}, "scratch": "scratch"},
            "adaptation.base_lr": {"low": 1e-4, "high": 1e-2},
        }
    }
    base = {
        "data": {"dataset": "somewhere", "balance": "sex"},
        "backbone": {"name": "vit_base_patch16_224"},
        "adaptation": {"method": "end_to_end", "recipe": "paper"},
    }
    study = make_study(search, base=base)
    scratch = AskedConfiguration("base", "base", 1, {"weights": "scratch"}, (0,), (1,))
    mae = AskedConfiguration("base", "base", 2, {"weights": "mae"}, (0,), (2,))
    alone, beside = expand(study, [scratch])[0], expand(study, [mae, scratch])[1]
    assert alone.trial == beside.trial
