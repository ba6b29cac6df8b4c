"""Drawn test sets, of resample and of glocker, as whole-number weights of the images."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.auc import auc
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.groups import groups_of
from fairfm_core.evaluation.predictions import Predictions, sample_of
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from tests.fairfm_core.evaluation.cohorts import (
    cell_aucs,
    image_weights,
    patient_draws,
    pick,
    unequal_races,
)

DRAWN = ("resample", "glocker")
SETTINGS = EvaluationSettings(protocols=DRAWN, replicates=10, metrics=("auc",))
PATHOLOGIES = ("No Finding", "Pleural Effusion", "Edema")


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
    weighting = PROTOCOLS[protocol](sample.images, SETTINGS)
    got = cell_aucs(sample, weighting, groups, draws)
    for b, draw in enumerate(draws):
        copies = draw[sample.patient_N] * weighting.weights_N(2).astype(int)
        expanded = frame.loc[np.repeat(frame.index, copies)]
        for g, group in enumerate(groups.names):
            rows = expanded[expanded["sex"] == group]
            wanted = roc_auc_score(rows["y_Edema"], rows["p_Edema"])
            assert got[b, 0, 2, g] == pytest.approx(wanted, abs=1e-12)


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
