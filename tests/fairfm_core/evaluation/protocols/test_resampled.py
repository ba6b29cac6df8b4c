"""Protocols resample and glocker: drawn test sets as whole-number weights of the images."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.auc import auc
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.groups import groups_of
from fairfm_core.evaluation.predictions import Predictions, sample_of
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from tests.fairfm_core.evaluation.cohorts import (
    cell_aucs,
    cohort,
    image_weights,
    patient_draws,
    permuted_aucs,
    pick,
    shuffled_groups,
)

DRAWN = ("resample", "glocker")
SETTINGS = EvaluationSettings(protocols=DRAWN, replicates=10, permutations=10, metrics=("auc",))
PATHOLOGIES = ("No Finding", "Pleural Effusion", "Edema")


def unequal_races(images=2000, seed=0):
    """Race groups differ in size, age and disease."""
    rng = np.random.default_rng([seed, 2])
    frame = cohort(images, seed=seed, races=(0.2, 0.1, 0.7), pathologies=(), decimals=8)
    black = (frame["race"] == "Black").to_numpy()
    effusion = rng.random(images) < np.where(black, 0.25, 0.45)
    labels = {
        "No Finding": ~effusion & (rng.random(images) < 0.2),
        "Pleural Effusion": effusion,
        "Edema": rng.random(images) < np.where(black, 0.5, 0.2),
    }
    frame["age"] = np.clip(rng.normal(np.where(black, 50, 65), 15), 18, 90).round()
    for name, label in labels.items():
        frame[f"y_{name}"] = label.astype(float)
        frame[f"p_{name}"] = 1 / (1 + np.exp(-(label + rng.normal(size=images))))
    return frame


@pytest.mark.parametrize("protocol", DRAWN)
@hypothesis_settings(max_examples=25, deadline=None)
@given(
    drawn=st.lists(
        st.tuples(
            st.sampled_from(["F", "M", None]),
            st.sampled_from(["Asian", "Black", None]),
            st.sampled_from([0.0, 1.0, np.nan]),
            st.sampled_from([19.0, 45.0, 85.0, np.nan]),
        ),
        max_size=40,
    ),
    seed=st.integers(0, 100),
    shuffle=st.randoms(use_true_random=False),
)
def test_a_draw_depends_on_seed_and_images_not_on_row_order(protocol, drawn, seed, shuffle):
    cells = list(product(["F", "M"], ["Asian", "Black"], [0.0, 1.0], [30.0]))
    frame = pd.DataFrame(cells + drawn, columns=["sex", "race", "y_Pleural Effusion", "age"])
    frame["image_id"] = [f"i{n:03d}" for n in range(len(frame))]
    frame = frame.assign(patient_id=frame["image_id"], split="test")
    frame["y_No Finding"] = 1 - frame["y_Pleural Effusion"]
    frame["p_No Finding"] = frame["p_Pleural Effusion"] = 0.5
    settings = SETTINGS.model_copy(update={"resample_seed": seed})
    weights = image_weights(frame, protocol, settings)
    order = list(range(len(frame)))
    shuffle.shuffle(order)
    again = image_weights(frame.iloc[order], protocol, settings)
    np.testing.assert_array_equal(again, weights[:, order])
    assert (weights == weights.round()).all()
    looked_at = ["sex", "race"] if protocol == "resample" else ["race", "age"]
    known = frame[[*looked_at, "y_No Finding"]].notna().all(axis=1)
    assert (weights.sum(axis=1) == 3 * known.sum()).all()
    assert (weights[:, ~known] == 0).all()


@pytest.mark.parametrize("protocol", DRAWN)
def test_seeds_draw_differently_and_repeatably(protocol):
    frame = unequal_races(1000)
    first = image_weights(frame, protocol, SETTINGS)
    np.testing.assert_array_equal(first, image_weights(frame, protocol, SETTINGS))
    other = SETTINGS.model_copy(update={"resample_seed": 1})
    assert not np.array_equal(first, image_weights(frame, protocol, other))
    same = (first[0] == first[1]).all()
    assert same == (protocol == "glocker")  # one test set for all, or one for each pathology


@pytest.mark.slow
def test_resample_is_balanced_in_expectation():
    frame = unequal_races(600)
    (weights,) = image_weights(frame, "balanced", SETTINGS)[2:]
    settings = [SETTINGS.model_copy(update={"resample_seed": seed}) for seed in range(300)]
    draws = np.array([image_weights(frame, "resample", each)[2] for each in settings])
    # Multiplicities are binomial: 1,800 draws, each with the probability of the image's weight.
    wanted = 3 * weights
    z = (draws.mean(axis=0) - wanted) / np.sqrt(wanted * (1 - wanted / 1800) / len(draws))
    assert abs(z).max() < 5
    assert z.std() == pytest.approx(1, abs=0.15)
    scores, labels = frame["p_Edema"], frame["y_Edema"]
    aucs = [auc(scores, labels, draw) for draw in draws]
    noise = np.std(aucs) / np.sqrt(len(aucs))
    assert np.mean(aucs) == pytest.approx(auc(scores, labels, weights), abs=4 * noise)


@pytest.mark.parametrize("protocol", DRAWN)
def test_a_value_is_the_auc_of_the_literally_drawn_set(protocol):
    frame = unequal_races(600)
    weights = image_weights(frame, protocol, SETTINGS)[2].astype(int)
    settings = SETTINGS.model_copy(update={"protocols": (protocol,)})
    result = evaluate(Predictions(frame), settings)
    row = pick(result.metrics, pathology="Edema", attribute="race", group="Asian")
    drawn = frame.loc[np.repeat(frame.index, weights)]
    drawn = drawn[drawn["race"] == "Asian"]
    wanted = roc_auc_score(drawn["y_Edema"], drawn["p_Edema"])
    assert row["value"] == pytest.approx(wanted, abs=1e-12)
    assert row["n"] == drawn["image_id"].nunique()
    assert row["n_patients"] == drawn["patient_id"].nunique()
    size = pick(result.weights, pathology="Edema", attribute="race", group="Asian")
    counts = drawn["image_id"].value_counts()
    assert (size["weight_sum"], size["unique_images"]) == (len(drawn), len(counts))
    assert size["duplicates"] == len(drawn) - len(counts)
    assert size["largest_weight"] == counts.max()
    assert size["ess"] == pytest.approx(counts.sum() ** 2 / (counts**2).sum())


@pytest.mark.parametrize("protocol", DRAWN)
def test_a_replicate_draws_patients_with_all_their_copies(protocol):
    frame = unequal_races(600)
    sample = sample_of([frame], "test", PATHOLOGIES)
    groups = groups_of(frame, "sex", (40,))
    draws = patient_draws(sample.patient_ids, 3, seed=0)
    weighting = PROTOCOLS[protocol](sample, SETTINGS)
    got = cell_aucs(weighting, groups, draws)
    for b, draw in enumerate(draws):
        copies = draw[sample.patient_N] * weighting.weights_N(2).astype(int)
        expanded = frame.loc[np.repeat(frame.index, copies)]
        for g, group in enumerate(groups.names):
            rows = expanded[expanded["sex"] == group]
            wanted = roc_auc_score(rows["y_Edema"], rows["p_Edema"])
            assert got[b, 0, 2, g] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("protocol", DRAWN)
def test_the_null_draws_anew_for_the_groups_that_it_made(protocol):
    """Its draws make the permuted race groups alike, as the real draws do the real ones."""
    frame = unequal_races(2000)
    sample = sample_of([frame], "test", PATHOLOGIES)
    weighting = PROTOCOLS[protocol](sample, SETTINGS)
    permuted = shuffled_groups(sample, groups_of(frame, "race", (40,)), 4, 0)
    drawn_BN = weighting.permuted(2, permuted).drawn_BN
    assert drawn_BN is not None
    for b, drawn_N in enumerate(drawn_BN):
        size = np.bincount(permuted.code_BU[b, permuted.unit_N], weights=drawn_N)
        np.testing.assert_allclose(size / size.sum(), 1 / 3, atol=0.03)
    assert not np.array_equal(drawn_BN[0], drawn_BN[1])
    aucs = permuted_aucs(weighting, permuted.groups, 4, 0)
    rows = (permuted.code_BU[2, permuted.unit_N] == 1) & (drawn_BN[2] > 0)
    wanted = auc(frame["p_Edema"][rows], frame["y_Edema"][rows], drawn_BN[2][rows])
    assert aucs[2, 0, 2, 1] == pytest.approx(wanted, abs=1e-6)  # scores are float32 there


def test_the_three_draws_make_race_groups_alike_and_leave_sex_and_other_labels():
    frame = unequal_races(12_000)
    frame["disease"] = np.where(
        frame["y_Pleural Effusion"] == 1, "PE", np.where(frame["y_No Finding"] == 1, "NF", "other")
    )
    frame["bin"] = np.digitize(frame["age"], [20, 30, 40, 50, 60, 70, 80], right=True)
    multiplicity = image_weights(frame.drop(columns=["disease", "bin"]), "glocker", SETTINGS)[0]
    drawn = frame.loc[np.repeat(frame.index, multiplicity.astype(int))]
    assert len(drawn) == 3 * len(frame)
    np.testing.assert_allclose(drawn["race"].value_counts(normalize=True), 1 / 3, atol=0.02)
    wanted = frame["disease"].value_counts(normalize=True)
    for _, group in drawn.groupby("race"):
        shares = group["disease"].value_counts(normalize=True)
        np.testing.assert_allclose(shares[wanted.index], wanted, atol=0.03)
    for disease, rows in drawn.groupby("disease"):
        ages = frame.loc[frame["disease"] == disease, "age"].mean()
        before = frame[frame["disease"] == disease].groupby("race")["age"].mean()
        after = rows.groupby("race")["age"].mean()
        assert np.ptp(before) > 8
        np.testing.assert_allclose(after, ages, atol=2.5)
    edema = drawn.groupby("race")["y_Edema"].mean()
    assert edema["Black"] > edema["White"] + 0.15
    black = multiplicity[(frame["race"] == "Black").to_numpy()]
    assert black.sum() ** 2 / (black**2).sum() < (black > 0).sum() < black.sum() / 4


def test_the_notebooks_age_bins_have_closed_upper_ends():
    frame = unequal_races(40).assign(race="White")
    frame["age"] = [20.0, 20.5, 30.0, 31.0, 80.0, 81.0] * 6 + [90.0] * 4
    sample = sample_of([frame], "test", PATHOLOGIES)
    weighting = PROTOCOLS["glocker"](sample, SETTINGS)
    assert weighting.drawable.age_bin_n[:6].tolist() == [0, 1, 1, 2, 6, 7]


def test_what_glocker_needs_is_said(make_frame):
    with pytest.raises(BadInput, match="no 'Pleural Effusion': use protocol resample"):
        image_weights(make_frame(), "glocker", SETTINGS)
    with pytest.raises(BadInput, match="have no 'race'"):
        image_weights(unequal_races(40).drop(columns="race"), "glocker", SETTINGS)
    nobody = evaluate(Predictions(unequal_races(40).assign(race=None)), SETTINGS)
    glocker = nobody.metrics[nobody.metrics["protocol"] == "glocker"]
    reason = pick(glocker, pathology="Edema", attribute="overall")["reason"]
    assert reason == "no draw: no image has a race, an age and both labels"
    assert nobody.gaps["value"].isna().sum() >= 4


def test_all_protocols_stand_side_by_side_and_full_is_what_it_was_alone():
    frame = unequal_races(600)
    names = ("full", "balanced", "resample", "glocker")
    settings = SETTINGS.model_copy(update={"protocols": names})
    result = evaluate(Predictions(frame.sample(frac=1, random_state=0)), settings)
    assert list(result.metrics["protocol"].unique()) == list(names)
    assert list(result.gaps["protocol"].unique()) == list(names)
    assert result.gaps["value"].notna().all()
    alone = evaluate(Predictions(frame), settings.model_copy(update={"protocols": ("full",)}))
    for kind in ("metrics", "gaps", "weights"):
        frame, whole = getattr(alone, kind), getattr(result, kind)
        kept = whole[whole["protocol"] == "full"].reset_index(drop=True)
        pd.testing.assert_frame_equal(frame, kept, check_exact=True)
