"""Paired comparison of models and of sets of seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.selection.comparison import (
    UNKNOWN,
    Family,
    Side,
    compared,
    difference_of,
    holm,
)
from fairfm_core.evaluation.selection.replicates import Replicated, replicated
from fairfm_core.evaluation.selection.spread import lent_spread
from fairfm_core.evaluation.tables import evaluation_of

SETTINGS = EvaluationSettings(replicates=100, metrics=("auc",))
FAMILY = Family(("auc", "gap_sex", "gap_race"))


def side(name, *frames, settings=SETTINGS):
    return Side(name, tuple(evaluate(Predictions(frame), settings) for frame in frames))


def stored(values, replicates, pairing="same"):
    """One evaluation with the number `auc` on test."""
    row = {"protocol": "full", "split": "test", "name": "auc", "pairing": pairing}
    rows = [row | {"value": values, "replicates": list(replicates), "null": []}]
    return evaluation_of(metrics=[], gaps=[], replicates=rows)


def row_of(table, name):
    (row,) = table[table["name"] == name].to_dict("records")
    return row


def test_a_model_and_itself_differ_by_nothing(make_frame):
    table = compared([(side("a", make_frame()), side("b", make_frame()))], FAMILY)
    assert (table[["difference", "lo", "hi", "se_patients"]] == 0).all(axis=None)
    assert table["p_value"].isna().all(), "one training each"


def test_seeds_and_themselves_have_the_p_value_1(make_frame):
    frames = make_frame(800), make_frame(800, model=1)
    table = compared([(side("a", *frames), side("b", *frames))], FAMILY)
    assert (table["difference"] == 0).all()
    assert (table["p_value"] == 1).all()
    assert table.loc[table["name"].isin(FAMILY.names), "p_holm"].tolist() == [1, 1, 1]


def test_the_difference_is_paired(make_frame):
    a, b = side("a", make_frame(images=600)), side("b", make_frame(images=600))
    noisy = make_frame(images=600)
    random = np.random.default_rng(3)
    noisy["p_Edema"] = np.clip(noisy["p_Edema"] + random.normal(0, 0.02, len(noisy)), 0, 1)
    near = row_of(compared([(a, side("c", noisy))], FAMILY), "auc")
    draws_a, draws_c = (
        replicated(each.seeds, "x")[("full", "test", "auc")].replicate_BS[:, 0]
        for each in (a, side("c", noisy))
    )
    assert near["se_patients"] == pytest.approx(np.std(draws_a - draws_c, ddof=1), rel=1e-12)
    # Unpaired, the error would be about 1.4 times that of one model: many times as large.
    assert near["se_patients"] < 0.3 * np.std(draws_a, ddof=1)
    assert row_of(compared([(a, b)], FAMILY), "auc")["difference"] == 0


def test_interval_and_p_value_are_those_of_welch(make_frame):
    """Without noise of patients all that is left is the two-sample t test of the seeds' values."""
    a, b = [0.80, 0.82, 0.81], [0.78, 0.75, 0.77, 0.74]
    flat = np.zeros(5)
    left = Side("a", tuple(stored(value, value + flat) for value in a))
    right = Side("b", tuple(stored(value, value + flat) for value in b))
    row = row_of(compared([(left, right)], Family(("auc",))), "auc")
    wanted = stats.ttest_ind(a, b, equal_var=False)
    limits = wanted.confidence_interval(0.95)
    assert row["p_value"] == pytest.approx(wanted.pvalue, rel=1e-9)
    assert (row["lo"], row["hi"]) == pytest.approx((limits.low, limits.high), rel=1e-9)
    assert row["freedom"] == pytest.approx(wanted.df, rel=1e-9)
    assert (row["seeds_a"], row["seeds_b"]) == (3, 4)
    assert row["reason"] is None


def world(random, seeds=3, shared=0.02, own=0.01, spread=0.01, replicates=400, difference=0.0):
    """Two configurations on the same patients: noise of patients that all models of a side share,
    noise of each model's own, and a spread between training runs; standard deviations."""
    sides = []
    for truth in (0.8 + difference, 0.8):
        noise_B = random.normal(0, shared, 1 + replicates)[:, None]
        noise_BS = noise_B + random.normal(0, own, (1 + replicates, seeds))
        value_S = truth + random.normal(0, spread, seeds) + noise_BS[0]
        sides.append(Replicated(value_S, value_S + noise_BS[1:], "same"))
    return sides


def errors_by_loops(a, b):
    """Variance of what all seeds of a side share, and of the means over seeds, term by term."""
    over_replicates = np.var(
        [x.mean() - y.mean() for x, y in zip(a.replicate_BS, b.replicate_BS, strict=True)], ddof=1
    )
    own = seeds = bottom = 0.0
    for side in (a, b):
        count = len(side.value_S)
        within = [
            np.cov([row[s] - row.mean() for row in side.replicate_BS], ddof=1) for s in range(count)
        ]
        own += sum(within) / (count - 1) / count
        part = sum((v - side.value_S.mean()) ** 2 for v in side.value_S) / (count - 1) / count
        seeds += part
        bottom += part**2 / (count - 1)
    shared = max(over_replicates - own, over_replicates - seeds, 0.0)
    return shared, seeds, (shared + seeds) ** 2 / bottom


def test_errors_of_patients_and_of_trainings_are_kept_apart():
    random = np.random.default_rng(0)
    for seeds, spread in ((2, 0.0), (3, 0.03), (5, 0.001)):
        a, b = world(random, seeds, spread=spread)
        row = difference_of(a, b, 0.95)
        shared, of_seeds, freedom = errors_by_loops(a, b)
        assert row["se_patients"] == pytest.approx(shared**0.5, rel=1e-9)
        assert row["se_seeds"] == pytest.approx(of_seeds**0.5, rel=1e-9)
        assert row["freedom"] == pytest.approx(freedom, rel=1e-9)
        assert row["spread"] == "own seeds"
        reach = stats.t.ppf(0.975, freedom) * (shared + of_seeds) ** 0.5
        assert row["hi"] - row["difference"] == pytest.approx(reach, rel=1e-9)
        expected = 2 * stats.t.sf(abs(row["difference"]) / (shared + of_seeds) ** 0.5, freedom)
        assert row["p_value"] == pytest.approx(expected, rel=1e-9)


def test_the_error_is_never_below_that_of_the_patients():
    """Seeds that happen to agree do not make the patients certain."""
    random = np.random.default_rng(2)
    a, b = world(random, own=0.02)
    a, b = (
        Replicated(np.full(3, v), side.replicate_BS, "same") for v, side in ((0.81, a), (0.8, b))
    )
    row = difference_of(a, b, 0.95)
    draws = a.replicate_BS.mean(axis=1) - b.replicate_BS.mean(axis=1)
    assert np.hypot(row["se_patients"], row["se_seeds"]) == pytest.approx(draws.std(ddof=1))


def test_one_training_has_no_p_value_but_the_interval_of_the_trained_models():
    random = np.random.default_rng(1)
    (one, other), (_, several) = world(random, seeds=1), world(random, seeds=3)
    row = difference_of(one, other, 0.95)
    assert row["p_value"] is None
    assert row["reason"].startswith(f"no p-value: one training each: {UNKNOWN}")
    assert row["se_seeds"] is None
    assert row["spread"] is None
    draws = one.replicate_BS[:, 0] - other.replicate_BS[:, 0]
    assert row["hi"] - row["difference"] == pytest.approx(1.959964 * draws.std(ddof=1), rel=1e-6)
    assert difference_of(one, several, 0.95)["reason"].startswith("no p-value: a has one training")
    assert difference_of(several, one, 0.95)["reason"].startswith("no p-value: b has one training")


def test_the_study_lends_its_largest_spread_and_is_named():
    random = np.random.default_rng(3)
    configurations = [world(random, spread=s)[0] for s in (0.001, 0.01, 0.03)]
    assert lent_spread(configurations[:2]) is None, "too few"
    assert lent_spread([*configurations[:2], world(random, seeds=1)[0]]) is None
    lent = lent_spread(configurations)
    assert lent.variance == max(np.var(each.value_S, ddof=1) for each in configurations)
    assert lent.freedom == 6
    one, other = world(random, seeds=1)
    row = difference_of(one, other, 0.95, lent)
    assert row["p_value"] is not None
    assert row["spread"] == "the study's: the largest of 3 configurations (9 training runs)"
    assert row["se_seeds"] == pytest.approx((2 * lent.variance) ** 0.5)
    mixed = difference_of(one, configurations[0], 0.95, lent)
    assert mixed["spread"].startswith("a: the study's")
    assert mixed["spread"].endswith("b: own seeds")


def test_an_undefined_configuration_lends_nothing():
    random = np.random.default_rng(4)
    good = [world(random)[0] for _ in range(3)]
    undefined = Replicated(np.full(3, np.nan), good[0].replicate_BS, "same")
    assert lent_spread([*good, undefined]).source == lent_spread(good).source


@pytest.mark.slow
def test_a_null_comparison_is_rarely_significant():
    """At 5 %, with and without a spread between training runs; one seed with a lent spread."""
    random = np.random.default_rng(5)
    repetitions = 800
    for spread in (0.0, 0.02):
        hits = lent_hits = 0
        for _ in range(repetitions):
            row = difference_of(*world(random, spread=spread, replicates=60), 0.95)
            hits += row["p_value"] <= 0.05
            lenders = [world(random, spread=spread, replicates=20)[0] for _ in range(4)]
            ones = world(random, seeds=1, spread=spread, replicates=60)
            lent_hits += difference_of(*ones, 0.95, lent_spread(lenders))["p_value"] <= 0.05
        assert 0.025 <= hits / repetitions <= 0.07, spread
        assert lent_hits / repetitions <= 0.06, spread


def test_the_interval_covers_a_true_difference_of_configurations():
    """Seeds scatter, and both configurations are tested on the same sample of patients."""
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(2000):
        sides = []
        for truth in (0.80, 0.78):
            seed_S = truth + random.normal(0, 0.01) + random.normal(0, 0.01, 3)
            sides.append(Replicated(seed_S, seed_S + random.normal(0, 0.01, (80, 1)), "same"))
        row = difference_of(*sides, 0.95)
        hits += row["lo"] <= 0.02 <= row["hi"]
    assert 0.935 <= hits / 2000 <= 0.985


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None)
def test_holm_is_the_step_down_rule(p_values):
    """Reject at level alpha, smallest first, while p <= alpha / (tests left): no other decision."""
    corrected = holm(p_values)
    for alpha in (0.01, 0.05, 0.2, 0.7):
        rejected, left = set(), len(p_values)
        for place in np.argsort(p_values, kind="stable"):
            if p_values[place] > alpha / left:
                break
            rejected.add(int(place))
            left -= 1
        close = any(abs(p - alpha) < 1e-9 for p in corrected)
        assert close or {k for k, p in enumerate(corrected) if p <= alpha} == rejected
    assert all(q >= p for p, q in zip(p_values, corrected, strict=True))


def test_holm_is_over_every_declared_test_of_every_pair(make_frame):
    a, b, c = (side(x, make_frame(model=k), make_frame(model=k + 3)) for k, x in enumerate("abc"))
    table = compared([(a, b), (a, c)], Family(("auc", "gap_sex")))
    tested = table[table["p_holm"].notna()]
    assert len(tested) == 4
    assert tested["p_holm"].tolist() == holm(tested["p_value"].tolist())
    assert table.loc[table["name"] == "gap_race", "p_holm"].isna().all()


def test_what_does_not_pair_is_refused(make_frame):
    frame = make_frame()
    a = side("a", frame)
    fewer = side("b", frame.head(150))
    relabelled = side("b", frame.assign(y_Edema=1 - frame["y_Edema"]))
    other_draws = side("b", frame, settings=SETTINGS.model_copy(update={"seed": 1}))
    for b in (fewer, relabelled, other_draws):
        with pytest.raises(BadInput, match="a and b cannot be paired"):
            compared([(a, b)], FAMILY)
    with pytest.raises(BadInput, match="seeds of b cannot be paired"):
        compared([(a, Side("b", (*a.seeds, *fewer.seeds)))], FAMILY)
    with pytest.raises(BadInput, match="b has no evaluation"):
        compared([(a, Side("b", ()))], FAMILY)


def test_a_family_names_known_numbers(make_frame):
    a = side("a", make_frame())
    with pytest.raises(BadInput, match="did you mean 'gap_sex'"):
        compared([(a, a)], Family(("gap_sexx",)))
    with pytest.raises(BadInput, match="no predictions of split 'val'"):
        compared([(a, a)], Family(("auc",), split="val"))


def test_an_undefined_number_is_null_with_its_reason(make_frame):
    frame = make_frame()
    frame.loc[frame["race"] == "Black", "y_Edema"] = 0.0
    table = compared([(side("a", frame), side("b", frame))], Family(("auc", "gap_race")))
    row = row_of(table, "gap_race")
    assert pd.isna(row["p_value"])
    assert row["reason"] == "undefined for a and b: the evaluation of each says why"
    none = SETTINGS.model_copy(update={"replicates": 0})
    table = compared([(side("a", frame, settings=none), side("b", frame, settings=none))], FAMILY)
    assert table["reason"].str.contains("no interval|undefined").all()


def fair_models(random, images=600, seeds=2):
    """Two configurations that treat five groups alike, one far more accurate than the other."""
    patient_N = np.repeat(np.arange(images // 2), 2)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{n:04d}" for n in range(images)],
            "patient_id": [f"p{n:04d}" for n in patient_N],
            "split": "test",
            "site": random.choice(list("abcde"), images // 2)[patient_N],
        }
    )
    frames = []
    for name in ("P", "Q", "R"):
        frame[f"y_{name}"] = (random.random(images) < 0.4).astype(float)
    for skill in (3.0, 0.3):
        common = random.normal(size=images)
        trained = []
        for _ in range(seeds):
            noise = {n: 0.8 * common + 0.6 * random.normal(size=images) for n in ("P", "Q", "R")}
            scores = {
                f"p_{n}": 1 / (1 + np.exp(-skill * frame[f"y_{n}"] - noise[n])) for n in noise
            }
            trained.append(frame.assign(**scores))
        frames.append(trained)
    return frames


@pytest.mark.slow
def test_fair_models_of_unlike_accuracy_do_not_differ_in_fairness():
    """Noise lifts the gap of the noisier model, which Student's t alone would call a difference."""
    random = np.random.default_rng(5)
    settings = SETTINGS.model_copy(update={"attributes": ("site",)})
    family = Family(("mean_of_gaps_site",))
    significant = by_t_alone = 0
    for _ in range(20):
        accurate, noisy = fair_models(random)
        pair = side("a", *accurate, settings=settings), side("b", *noisy, settings=settings)
        row = row_of(compared([pair], family), "mean_of_gaps_site")
        assert row["null_difference"] < 0
        significant += row["p_value"] < 0.05
        by_t_alone += not row["lo"] <= 0 <= row["hi"]
    assert by_t_alone >= 6
    assert significant <= 3


def test_one_patient_has_no_interval_and_no_p_value(make_frame):
    frames = [make_frame(images=60, model=k).assign(patient_id="only") for k in range(2)]
    row = row_of(compared([(side("a", frames[0]), side("b", frames[1]))], FAMILY), "auc")
    assert pd.isna(row["p_value"])
    assert pd.isna(row["lo"])
    assert row["reason"] == "no interval: 0 replicates defined for both"


def test_columns_in_another_order_pair_all_the_same(make_frame):
    frame = make_frame()
    turned = frame[list(frame.columns[:6]) + list(frame.columns[:5:-1])]
    assert list(turned.columns) != list(frame.columns)
    table = compared([(side("a", frame), side("b", turned))], FAMILY)
    assert (table["difference"] == 0).all()


def test_an_attribute_of_one_group_is_null_with_its_reason(make_frame):
    frame = make_frame().assign(sex="F")
    row = row_of(compared([(side("a", frame), side("b", frame))], FAMILY), "gap_sex")
    assert pd.isna(row["difference"])
    assert row["reason"].startswith("undefined for a and b")


def test_the_same_pair_twice_is_refused(make_frame):
    a, b = side("a", make_frame()), side("b", make_frame(model=1))
    with pytest.raises(BadInput, match="compared twice"):
        compared([(a, b), (b, a)], FAMILY)
