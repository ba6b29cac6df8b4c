import numpy as np
import pandas as pd
import pytest

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.selection import (
    RULES,
    choose,
    choose_by_objectives,
    front,
    validation_table,
)

OBJECTIVES = [
    Objective(metric="val/auc", goal="maximize"),
    Objective(metric="val/gap_sex", goal="minimize"),
]


def _table(rows):
    """Rows of fingerprint, AUC, AUC of F, AUC of M."""
    names = ["fingerprint", "val/auc", "val/auc[sex=F]", "val/auc[sex=M]"]
    table = pd.DataFrame(rows, columns=names).assign(split="val")
    gap = (table["val/auc[sex=F]"] - table["val/auc[sex=M]"]).abs()
    return table.assign(**{"val/gap_sex": gap})


TABLE = _table(
    [
        ("a", 0.80, 0.90, 0.70),
        ("b", 0.79, 0.82, 0.78),
        ("c", 0.78, 0.77, 0.77),
        ("d", 0.7, 0.8, 0.6),
    ]
)


def test_rules():
    assert choose("overall", TABLE).fingerprint == "a"
    assert choose("pareto", TABLE).fingerprint == "b"
    assert choose("minimax_pareto", TABLE).fingerprint == "b"
    assert choose("dto", TABLE).fingerprint == "b"
    assert choose("pareto", TABLE, attribute="sex").candidates == ("a", "b", "c", "d")
    assert front(TABLE, OBJECTIVES).tolist() == [True, True, True, False]


def test_the_choice_by_objectives_is_nearest_to_their_ideals():
    """AUC counts in units of 0.5 and a gap in units of 0.1, whatever the other candidates are."""
    distance = np.hypot((1 - TABLE["val/auc"]) / 0.5, TABLE["val/gap_sex"] / 0.1)
    choice = choose_by_objectives(TABLE, OBJECTIVES)
    assert choice.fingerprint == TABLE["fingerprint"][distance.argmin()] == "c"
    assert choose_by_objectives(TABLE.head(2), OBJECTIVES).fingerprint == "b"
    slope = TABLE.assign(**{"val/calibration_slope": [0.6, 1.5, 0.7, 1.2]})
    objective = Objective(metric="val/calibration_slope", goal="ideal")
    assert choose_by_objectives(slope, [objective]).fingerprint == "d"
    undefined = TABLE.assign(**{"val/gap_sex": [0.2, np.nan, np.nan, 0.3]})
    choice = choose_by_objectives(undefined, OBJECTIVES)
    assert (choice.fingerprint, choice.excluded) == ("a", ("b", "c"))
    with pytest.raises(BadInput, match="no column 'val/gap_sex'"):
        choose_by_objectives(TABLE.drop(columns="val/gap_sex"), OBJECTIVES)
    with pytest.raises(BadInput, match="'test/auc'"):
        choose_by_objectives(TABLE.assign(**{"test/auc": 0.9}), OBJECTIVES)


def medfair_pareto(subgroup_NG):
    """MEDFAIR's notebook `results_analysis`, written out: find_mingroup, then cal_pareto."""
    hardest = int(np.argmin([max(column) for column in subgroup_NG.T]))
    front = [
        n
        for n, row in enumerate(subgroup_NG)
        if not any((other >= row).all() and (other > row).any() for other in subgroup_NG)
    ]
    return front[int(np.argmax(subgroup_NG[front, hardest]))]


@pytest.mark.slow
def test_pareto_is_medfair_s_and_minimax_pareto_is_not():
    """The best M is .80, the best F .95: M is the group to maximise, whatever it does to F."""
    table = _table([("x", 0.8, 0.60, 0.80), ("y", 0.8, 0.79, 0.78), ("z", 0.8, 0.95, 0.70)])
    groups = table[["val/auc[sex=F]", "val/auc[sex=M]"]].to_numpy()
    assert (
        choose("pareto", table).fingerprint == table["fingerprint"][medfair_pareto(groups)] == "x"
    )
    assert choose("minimax_pareto", table).fingerprint == "y"
    draw = np.random.default_rng(0)
    differ = 0
    for _ in range(200):
        values = draw.random((6, 3))
        table = _table(
            [(name, 0.5, *value[:2]) for name, value in zip("abcdef", values, strict=True)]
        )
        table["val/auc[sex=X]"] = values[:, 2]
        chosen = choose("pareto", table).fingerprint
        assert chosen == "abcdef"[medfair_pareto(values)]
        ours = choose("minimax_pareto", table).fingerprint
        assert ours == choose("worst_group", table).fingerprint
        differ += chosen != ours
    assert differ > 20


def test_dto_by_hand():
    table = _table([("x", 0.8, 0.9, 0.7), ("y", 0.8, 0.6, 0.8)])
    distance_x = np.hypot(0, 1 - 0.7 / 0.8)
    distance_y = np.hypot(1 - 0.6 / 0.9, 0)
    assert choose("dto", table).fingerprint == ("x" if distance_x < distance_y else "y")


@pytest.mark.parametrize("rule", list(RULES))
def test_ties_are_broken_the_same_way_in_any_row_order(rule):
    table = _table([("b", 0.8, 0.8, 0.8), ("a", 0.8, 0.8, 0.8), ("c", 0.7, 0.7, 0.7)])
    assert choose(rule, table).fingerprint == "a"
    assert choose(rule, table[::-1]).fingerprint == "a"


def test_tie_in_auc_goes_to_the_lower_gap():
    table = _table([("a", 0.8, 0.9, 0.7), ("b", 0.8, 0.81, 0.79)])
    assert choose("overall", table).fingerprint == "b"


def test_undefined_candidates_are_excluded_and_named():
    table = _table([("a", 0.9, np.nan, 0.7), ("b", 0.8, 0.8, 0.8)])
    choice = choose("pareto", table)
    assert (choice.fingerprint, choice.excluded) == ("b", ("a",))
    assert choose("overall", table).fingerprint == "a"
    with pytest.raises(BadInput, match="val/gap_sex of a is nan"):
        front(table, OBJECTIVES)
    with pytest.raises(BadInput, match="no candidate"):
        choose("dto", table.head(1))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (TABLE.assign(split=["val", "test", "val", "val"]), "rows of split 'test'"),
        (TABLE.assign(**{"test/auc": 0.9}), "'test/auc'"),
        (TABLE.assign(**{"test_ci/auc_lo": 0.9}), "'test_ci/auc_lo'"),
    ],
)
def test_test_numbers_are_refused(table, says):
    for act in (lambda: choose("overall", table), lambda: front(table, OBJECTIVES)):
        with pytest.raises(BadInput, match=says):
            act()


def test_bad_requests():
    with pytest.raises(BadInput, match="did you mean 'pareto'"):
        choose("paretto", TABLE)
    with pytest.raises(BadInput, match="needs subgroup AUCs"):
        choose("dto", TABLE, attribute="race")
    with pytest.raises(BadInput, match="no column 'val/auc'"):
        choose("overall", TABLE.drop(columns="val/auc"))


@pytest.mark.slow
def test_changing_test_values_never_changes_the_choice(make_frame):
    settings = EvaluationSettings(replicates=0)

    def table(spoil):
        evaluations = {}
        for model in range(4):
            val = make_frame(split="val", model=model)
            test = spoil(make_frame(split="test", seed=1, model=model), model)
            evaluations[f"m{model}"] = evaluate([Predictions(val), Predictions(test)], settings)
        return validation_table(evaluations)

    plain = table(lambda frame, model: frame)
    spoilt = table(lambda frame, model: frame.assign(p_Edema=model / 4, sex="F"))
    pd.testing.assert_frame_equal(plain, spoilt, check_exact=True)
    assert "val/auc[race=Asian]" in plain
    for rule in RULES:
        assert choose(rule, plain) == choose(rule, spoilt)
    np.testing.assert_array_equal(front(plain, OBJECTIVES), front(spoilt, OBJECTIVES))


def test_no_candidates():
    with pytest.raises(BadInput, match="no candidate"):
        choose("overall", validation_table({}))
