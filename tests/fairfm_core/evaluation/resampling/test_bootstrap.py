import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fairfm_core.evaluation.groups import groups_of
from fairfm_core.evaluation.predictions import sample_of
from fairfm_core.evaluation.protocols.weighting import unweighted
from fairfm_core.evaluation.resampling.bootstrap import (
    percentile_interval,
    percentile_intervals,
    unit_draws,
)
from tests.fairfm_core.evaluation.cohorts import cell_aucs, patient_draws


def test_draws_depend_on_the_number_of_units_and_the_seed_alone():
    draws = unit_draws(3, 20, seed=3)
    assert draws.shape == (20, 3)
    assert (draws.sum(axis=1) == 3).all()
    unit_draws.cache_clear()
    np.testing.assert_array_equal(draws, unit_draws(3, 20, seed=3))
    assert not np.array_equal(draws, unit_draws(3, 20, seed=4))
    assert not np.array_equal(draws, unit_draws(3, 20, seed=3, name="image bootstrap"))
    with pytest.raises(ValueError, match="read-only"):
        draws[0] = 0


@pytest.mark.parametrize("decimals", [1, 6])
def test_a_replicate_is_the_auc_of_the_expanded_sample(make_frame, decimals):
    frame = make_frame(images=150)
    frame["p_Edema"] = frame["p_Edema"].round(decimals)
    sample = sample_of([frame], "test", ("Edema", "Fracture"))
    groups = groups_of(frame, "race", (40,))
    draws = patient_draws(sample.patient_ids, 5, seed=0)
    got = cell_aucs(sample, unweighted(sample.images), groups, draws)
    for b, draw in enumerate(draws):
        expanded = frame.loc[np.repeat(frame.index, draw[sample.patient_N])]
        for p, pathology in enumerate(sample.pathologies):
            for g, group in enumerate(groups.names):
                rows = expanded[(expanded["race"] == group) & expanded[f"y_{pathology}"].notna()]
                wanted = roc_auc_score(rows[f"y_{pathology}"], rows[f"p_{pathology}"])
                assert got[b, 0, p, g] == pytest.approx(wanted, abs=1e-12)


def test_undefined_replicates_are_counted_and_said():
    interval = percentile_interval(np.array([0.1, 0.2, np.nan, 0.3]), 0.5)
    assert (interval.lo, interval.hi) == pytest.approx((0.15, 0.25))
    assert interval.note is not None
    assert "1 of 4 replicates undefined" in interval.note
    assert percentile_interval(np.array([0.1, 0.2]), 0.95).note is None
    assert np.isnan(percentile_interval(np.full(3, np.nan), 0.95).lo)
    assert percentile_interval(np.empty(0), 0.95).note == "no interval: 0 replicates"


def test_interval_of_a_known_distribution():
    values = np.random.default_rng(0).normal(size=20_000)
    interval = percentile_interval(values, 0.95)
    assert interval.lo == pytest.approx(-1.96, abs=0.06)
    assert interval.hi == pytest.approx(1.96, abs=0.06)


@pytest.mark.parametrize("replicates", [1, 2, 7, 200])
@pytest.mark.parametrize("confidence", [0.5, 0.6827, 0.95, 0.999])
def test_many_intervals_at_once_have_the_bits_of_numpys_quantiles(replicates, confidence):
    values_BM = np.random.default_rng(0).normal(size=(replicates, 40))
    tail = (1 - confidence) / 2
    lo_M, hi_M = np.quantile(values_BM, [tail, 1 - tail], axis=0)
    found = percentile_intervals(values_BM, confidence)
    assert [each.lo for each in found] == lo_M.tolist()
    assert [each.hi for each in found] == hi_M.tolist()
