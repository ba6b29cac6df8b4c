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
from fairfm_core.evaluation.selection.comparison import Family, Side, compared, difference_of, holm
from fairfm_core.evaluation.selection.replicates import Replicated, replicated
from fairfm_core.evaluation.tables import evaluation_of

SETTINGS = EvaluationSettings(replicates=100, permutations=0, metrics=("auc",))
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


def test_both_errors_count():
    random = np.random.default_rng(0)
    draws = random.normal(0, 0.02, (3, 400))
    values = (0.8, 0.83, 0.86)
    left = Side("a", tuple(stored(v, v + d) for v, d in zip(values, draws, strict=True)))
    right = Side("b", (stored(0.7, np.full(400, 0.7)),))
    row = row_of(compared([(left, right)], Family(("auc",))), "auc")
    assert row["se_patients"] == pytest.approx(draws.mean(axis=0).std(ddof=1), rel=1e-9)
    assert row["se_seeds"] == pytest.approx(0.03 / np.sqrt(3), rel=1e-9)
    total = np.hypot(row["se_patients"], row["se_seeds"])
    assert row["hi"] - row["difference"] == pytest.approx(
        stats.t.ppf(0.975, row["freedom"]) * total, rel=1e-9
    )
    assert "one seed" in row["reason"]


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
    a, b, c = (side(name, make_frame(model=k)) for k, name in enumerate("abc"))
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
    assert row["reason"] == "undefined for a and b: see its own evaluation"
    none = SETTINGS.model_copy(update={"replicates": 0})
    table = compared([(side("a", frame, settings=none), side("b", frame, settings=none))], FAMILY)
    assert table["reason"].str.contains("no interval|undefined").all()


def fair_models(random, images=600):
    """Two models that treat five groups alike, one far more accurate than the other."""
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
        scores = {
            f"p_{name}": 1 / (1 + np.exp(-skill * frame[f"y_{name}"] - random.normal(size=images)))
            for name in ("P", "Q", "R")
        }
        frames.append(frame.assign(**scores))
    return frames


@pytest.mark.slow
def test_fair_models_of_unlike_accuracy_do_not_differ_in_fairness():
    """Noise lifts the gap of the noisier model, which Student's t alone would call a difference."""
    random = np.random.default_rng(5)
    settings = SETTINGS.model_copy(update={"attributes": ("site",), "permutations": 99})
    family = Family(("mean_of_gaps_site",))
    significant = by_t_alone = 0
    for _ in range(40):
        accurate, noisy = fair_models(random)
        pair = side("a", accurate, settings=settings), side("b", noisy, settings=settings)
        row = row_of(compared([pair], family), "mean_of_gaps_site")
        assert row["null_difference"] < 0
        significant += row["p_value"] < 0.05
        by_t_alone += not row["lo"] <= 0 <= row["hi"]
    assert by_t_alone >= 15
    assert significant <= 5


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
