import pytest
from pydantic import ValidationError

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.objectives import Objective, parse_objectives


def test_objectives_are_parsed():
    first, second = parse_objectives(
        [{"metric": "val/auc", "goal": "maximize"}, {"metric": "val/gap_sex", "goal": "minimize"}],
        attributes=("sex",),
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
        ([], "no objectives"),
    ],
)
def test_bad_objectives(given, says):
    with pytest.raises(BadInput, match=says):
        parse_objectives(given, attributes=("sex",))


def test_the_record_itself_refuses_test_metrics():
    with pytest.raises(ValidationError, match="reported on test"):
        Objective(metric="test/gap_sex", goal="minimize")
