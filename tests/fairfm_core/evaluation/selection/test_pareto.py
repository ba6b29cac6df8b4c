import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import front_ranks, hypervolume, non_dominated
from fairfm_core.evaluation.selection.ranking import ranked

AUC = Objective(metric="val/auc", goal="maximize")
SEX = Objective(metric="val/gap_sex", goal="minimize")
RACE = Objective(metric="val/gap_race", goal="minimize")


def _candidates(seed, count=60):
    """Coarse values, so that equal rows and ties in one objective occur."""
    rng = np.random.default_rng(seed)
    gaps = rng.integers(0, 10, size=(count, 2)) / 100
    return np.column_stack([0.7 + rng.integers(0, 10, size=count) / 100, gaps])


def _brute_force(values):
    losses = values * [-1, 1, 1]
    return [
        not any((other <= row).all() and (other < row).any() for other in losses) for row in losses
    ]


@pytest.mark.parametrize("seed", range(5))
def test_non_dominated_equals_brute_force_and_optuna(seed):
    values = _candidates(seed)
    mask = non_dominated(values, [AUC, SEX, RACE])
    assert mask.tolist() == _brute_force(values)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"])
    for row in values:
        study.add_trial(optuna.trial.create_trial(values=row.tolist()))
    assert sorted(trial.number for trial in study.best_trials) == np.flatnonzero(mask).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_ranks_are_fronts_that_are_taken_away_one_after_the_other(seed):
    values = _candidates(seed)
    expected, left, rank = np.zeros(len(values)), list(range(len(values))), 0
    while left:
        front = [n for n, best in zip(left, _brute_force(values[left]), strict=True) if best]
        expected[front] = rank
        left, rank = [n for n in left if n not in front], rank + 1
    assert front_ranks(values, [AUC, SEX, RACE]).tolist() == expected.tolist()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_ranks_of_a_single_objective_are_those_of_its_distinct_values(tenths):
    """Once wrong, as moocore's are."""
    column = np.array(tenths)[:, None] / 10
    ordered = sorted(set(tenths))
    assert front_ranks(column, [SEX]).tolist() == [ordered.index(each) for each in tenths]
    highest = ordered[::-1]
    assert front_ranks(column, [AUC]).tolist() == [highest.index(each) for each in tenths]
    kept = np.zeros(len(tenths))
    assert ranked(column, kept, [SEX]).tolist() == np.argsort(tenths, kind="stable").tolist()


def test_equal_rows_are_kept_together_and_empty_is_empty():
    assert non_dominated([[0.8, 0.1], [0.8, 0.1], [0.7, 0.2]], [AUC, SEX]).tolist() == [1, 1, 0]
    assert non_dominated([], [AUC, SEX]).shape == (0,)
    assert hypervolume([], [AUC, SEX]) == 0.0


def test_values_that_are_not_finite_are_refused_by_name():
    with pytest.raises(BadInput, match="val/gap_sex of mae is nan"):
        non_dominated([[0.8, 0.1], [0.8, np.nan]], [AUC, SEX], names=["moco", "mae"])
    with pytest.raises(BadInput, match="val/auc of row 0 is inf"):
        hypervolume([[np.inf, 0.1]], [AUC, SEX])


def test_hypervolume_of_the_hand_example():
    values = [[0.81, 0.02], [0.82, 0.03]]
    assert hypervolume(values, [AUC, SEX]) == pytest.approx(0.0255, abs=1e-12)
    beyond = [*values, [0.40, 0.01], [0.83, 0.12]]
    assert hypervolume(beyond, [AUC, SEX]) == pytest.approx(0.0255, abs=1e-12)
    with pytest.raises(BadInput, match="reference"):
        hypervolume(values, [AUC, SEX], reference=[0.5])


@pytest.mark.parametrize("size", [1, 4, 9])
def test_hypervolume_of_a_staircase(size):
    steps = np.array([[i + 1.0, i] for i in range(size)])
    got = hypervolume(steps, [AUC, SEX], reference=[0.0, float(size)])
    assert got == pytest.approx(size**2 - size * (size - 1) / 2)


def test_hypervolume_equals_a_grid_count():
    values = _candidates(9, count=12)
    axes = [0.5 + (np.arange(50) + 0.5) / 100, *[(np.arange(10) + 0.5) / 100] * 2]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    covered = ((values * [-1, 1, 1]) <= grid * [-1, 1, 1]).all(axis=2).any(axis=1)
    assert hypervolume(values, [AUC, SEX, RACE]) == pytest.approx(covered.sum() * 1e-6, abs=1e-12)


def test_an_objective_with_an_ideal_inside_its_range_is_judged_by_its_distance():
    slope = Objective(metric="val/calibration_slope", goal="ideal")
    values = [[0.8, 0.9], [0.8, 1.3], [0.7, 1.1], [0.6, 1.0]]
    assert non_dominated(values, [AUC, slope]).tolist() == [1, 0, 0, 1]
    assert hypervolume(values[:1], [AUC, slope]) == pytest.approx(0.3 * 0.9)
    assert hypervolume([[0.8, -0.1]], [AUC, slope]) == 0.0  # farther off than the reference
