import re

import pytest
from pydantic import ValidationError

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.numbers import known_numbers
from fairfm_core.evaluation.selection.objectives import Objective, parse_objectives

SETTINGS = EvaluationSettings(attributes=("sex",))


def test_objectives_are_parsed():
    first, second = parse_objectives(
        [{"metric": "val/auc", "goal": "maximize"}, {"metric": "val/gap_sex", "goal": "minimize"}],
        SETTINGS,
    )
    assert (first.maximised, first.reference) == (True, 0.5)
    assert (second.maximised, second.reference) == (False, 0.1)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([{"metric": "test/auc", "goal": "maximize"}], "'test/auc' is not a validation metric"),
        ([{"metric": "val/", "goal": "maximize"}], "not a validation metric"),
        ([{"metric": "val/auc", "goal": "up"}], "goal"),
        ([{"metric": "val/auc"}], "goal"),
        ([{"metric": "val/auc", "goal": "maximize", "weight": 1}], "weight"),
        ([{"metric": "val/gap_sex", "goal": "maximize"}], "use 'minimize'"),
        ([{"metric": "val/worst_group_auc_sex", "goal": "minimize"}], "use 'maximize'"),
        ([{"metric": "val/auc", "goal": "maximize"}] * 2, "more than once"),
        ([{"metric": "val/gap_sexx", "goal": "minimize"}], "did you mean 'val/gap_sex'"),
        ([{"metric": "val/gap_tpr_sex", "goal": "minimize"}], "mean 'val/gap_tpr@fpr=0.2_sex'"),
        (
            [{"metric": "val/gap_tpr@f1_sex", "goal": "minimize"}],
            "add f1 to evaluation.operating_points",
        ),
        ([{"metric": "val/gap_age", "goal": "minimize"}], "add age to evaluation.attributes;"),
        ([{"metric": "val/tpr@fpr=2", "goal": "maximize"}], "'fpr=2' needs a rate"),
        ([{"metric": "val/gap_auc_sex", "goal": "minimize"}], "did you mean 'val/gap_sex'"),
        ([{"metric": "val/bier", "goal": "minimize"}], "'val/bier' .did you mean 'val/brier'"),
        ([{"metric": "val/equalized_odds@fpr=0.2", "goal": "minimize"}], "unknown objective"),
        ([{"metric": "val/tpr", "goal": "maximize"}], "did you mean 'val/tpr@fpr=0.2'"),
        ([{"metric": "val/brier", "goal": "maximize"}], "use 'minimize'"),
        ([{"metric": "val/calibration_slope", "goal": "maximize"}], "'ideal' .nearest to 1."),
        ([], "no objectives"),
    ],
)
def test_bad_objectives(given, says):
    with pytest.raises(BadInput, match=says):
        parse_objectives(given, SETTINGS)


def test_the_record_itself_refuses_test_metrics():
    with pytest.raises(ValidationError, match="reported on test"):
        Objective(metric="test/gap_sex", goal="minimize")


@pytest.mark.parametrize(
    ("metric", "goal", "reference"),
    [
        ("auc", "maximize", 0.5),
        ("worst_group_auc_sex", "maximize", 0.5),
        ("gap_sex", "minimize", 0.1),
        ("mean_of_gaps_sex", "minimize", 0.1),
        ("auprc", "maximize", 0.0),
        ("brier", "minimize", 0.25),
        ("worst_group_brier_sex", "minimize", 0.25),
        ("gap_brier_sex", "minimize", 0.05),
        ("ece", "minimize", 0.5),
        ("mean_of_gaps_ece_sex", "minimize", 0.1),
        ("tpr@fpr=0.2", "maximize", 0.0),
        ("fpr@fpr=0.2", "minimize", 1.0),
        ("gap_tpr@fpr=0.2_sex", "minimize", 0.2),
        ("gap_equalized_odds@fpr=0.2_sex", "minimize", 0.2),
        ("calibration_slope", "ideal", 1.0),
        ("worst_group_calibration_intercept_sex", "ideal", 1.0),
        ("gap_calibration_slope_sex", "minimize", 0.2),
        ("underdiagnosis@fpr=0.2", "minimize", 1.0),
    ],
)
def test_direction_and_reference_follow_from_the_metric(metric, goal, reference):
    (objective,) = parse_objectives([{"metric": f"val/{metric}", "goal": goal}], SETTINGS)
    assert (objective.name, objective.reference) == (metric, reference)
    for other in {"maximize", "minimize", "ideal"} - {goal}:
        with pytest.raises(BadInput, match=f"use '{goal}'"):
            parse_objectives([{"metric": f"val/{metric}", "goal": other}])


def test_every_number_of_an_evaluation_may_be_an_objective():
    for name, number in known_numbers(SETTINGS).items():
        parse_objectives([{"metric": f"val/{name}", "goal": number.goal}], SETTINGS)


def test_what_a_study_does_not_evaluate_is_refused():
    few = EvaluationSettings(attributes=("sex",), metrics=("auc",))
    given = [{"metric": "val/gap_ece_sex", "goal": "minimize"}]
    parse_objectives(given, SETTINGS)
    message = "'val/gap_ece_sex': add ece to evaluation.metrics; this study evaluates auc for sex"
    with pytest.raises(BadInput, match=message):
        parse_objectives(given, few)


@pytest.mark.parametrize(
    "name", [name for name, number in known_numbers(SETTINGS).items() if not number.of_auc]
)
def test_what_the_error_advises_to_add_is_enough(name):
    few = EvaluationSettings(attributes=("sex",), metrics=("auc",), operating_points=("f1",))
    given = [{"metric": f"val/{name}", "goal": known_numbers(SETTINGS)[name].goal}]
    with pytest.raises(BadInput) as caught:
        parse_objectives(given, few)
    advice = dict(re.findall(r"(?P<value>\S+) to evaluation\.(\w+)", str(caught.value)))
    assert advice
    added = {key: (*getattr(few, key), value) for value, key in advice.items()}
    parse_objectives(given, few.model_copy(update=added))
