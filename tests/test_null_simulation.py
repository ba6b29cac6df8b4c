"""The short version of `python -m benchmarks null`: how often a fair model looks unfair.

Bounds are three standard errors of the number of repetitions: what they catch is a test that does
not hold at all, such as the one of earlier versions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from benchmarks import null
from benchmarks.null_tests import LabelTable, permutation
from benchmarks.null_worlds import FAIR, SIZES, UNFAIR, NullWorld, clustered

REPETITIONS = 100
HARD = NullWorld("few positives, 3 images", SIZES, (0.3, 0.3, 0.13), images=(3,))


def bound(level: float, trials: int) -> float:
    return level + 3 * float(np.sqrt(level * (1 - level) / trials))


def label_table(seed: int, world: NullWorld = FAIR[2]) -> LabelTable:
    frame = world.draw(seed)
    return LabelTable.of(frame[frame["split"] == "test"].reset_index(drop=True), "L00")


def auc_by_ranks(score_N: np.ndarray, label_N: np.ndarray) -> float:
    """Mann and Whitney's."""
    positives = label_N.sum()
    rank_sum = rankdata(score_N)[label_N].sum() - positives * (positives + 1) / 2
    return float(rank_sum / (positives * (len(label_N) - positives)))


def test_the_simulations_own_aucs_and_errors_are_right() -> None:
    table = label_table(0)
    member_Q = table.group_Q == 2
    inside_N = member_Q[table.patient_N]
    wanted = auc_by_ranks(table.score_N[inside_N], np.asarray(table.label_N)[inside_N])
    auc_R, influence_RQ = table.influences(member_Q[None].astype(float))
    assert auc_R[0] == pytest.approx(wanted)
    assert table.aucs(member_Q[None].astype(float))[0] == pytest.approx(wanted)
    assert influence_RQ.sum() == pytest.approx(0, abs=1e-12)
    random = np.random.default_rng(0)
    drawn_RQ = random.multinomial(len(member_Q), np.full(len(member_Q), 1 / len(member_Q)), 400)
    spread = table.aucs(drawn_RQ * member_Q).std()
    assert float(np.sqrt((influence_RQ**2).sum())) == pytest.approx(spread, rel=0.15)


def test_the_worlds_are_what_they_say() -> None:
    world = NullWorld("large", (4000, 4000), (0.3, 0.15), images=(2,), lower=0.1)
    frame = world.draw(0)
    test = frame[frame["split"] == "test"]
    for group, prevalence, auc in (("A", 0.3, 0.85), ("B", 0.15, 0.75)):
        of = test[test["group"] == group]
        assert of["y_L00"].mean() == pytest.approx(prevalence, abs=0.015)
        found = auc_by_ranks(of["p_L00"].to_numpy(), of["y_L00"].to_numpy() == 1)
        assert found == pytest.approx(auc, abs=0.02)
    noise = clustered(np.repeat(np.arange(20_000), 2), np.random.default_rng(0)).reshape(-1, 2)
    assert np.corrcoef(noise.T)[0, 1] == pytest.approx(0.5, abs=0.03)
    pd.testing.assert_frame_equal(frame, world.draw(0))


@pytest.mark.slow
def test_a_fair_model_with_few_positives_is_rarely_called_unfair() -> None:
    found = null.simulated(HARD, REPETITIONS)
    for name in ("gap now", "mean_of_gaps now", "difference now", "pathology now"):
        p_values = np.array(found.defined(name))
        assert len(p_values) > 0.8 * REPETITIONS
        for level in null.LEVELS:
            assert (p_values <= level).mean() <= bound(level, len(p_values)), (name, level)
    before = np.array(found.defined("difference before"))
    assert (before <= 0.05).mean() > bound(0.05, len(before)), "what the permuted groups did"


@pytest.mark.slow
def test_a_group_of_ten_positives_gets_no_p_value() -> None:
    (rare,) = [world for world in FAIR if world.name == ".3/.3/.08"]
    found = null.simulated(rare, 20, before=False)
    assert found.withheld == 1


@pytest.mark.slow
def test_a_gap_is_found_about_as_often_as_before_where_prevalences_are_equal() -> None:
    found = null.simulated(UNFAIR[0], REPETITIONS)
    power = {when: np.mean(np.array(found.defined(f"gap {when}")) <= 0.05) for when in
             ("before", "now")}  # fmt: skip
    assert power["now"] > 0.35
    assert power["now"] > power["before"] - 0.12


@pytest.mark.slow
def test_the_permutation_test_of_the_simulation_holds_where_it_should() -> None:
    (equal,) = [world for world in FAIR if world.name == "equal"]
    p_values = [
        permutation(label_table(seed, equal), np.random.default_rng(seed)).gap
        for seed in range(100)
    ]
    assert np.mean(np.array(p_values) <= 0.05) <= bound(0.05, len(p_values))
