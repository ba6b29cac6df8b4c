"""Protocol balanced: cells alike for each pathology, in the data, in replicates and in the null."""

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
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.groups import groups_of
from fairfm_core.evaluation.predictions import Predictions, sample_of
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from tests.fairfm_core.evaluation.cohorts import (
    cell_aucs,
    image_weights,
    patient_draws,
    pick,
)

SETTINGS = EvaluationSettings(protocols=("balanced",), replicates=20, metrics=("auc",))
PATHOLOGIES = ("Edema", "Fracture")
PREVALENCE = {"White": 0.2, "Black": 0.6, "Asian": 0.4}


def biased(images=1000, seed=0, shift=2.0, sizes=(0.2, 0.1, 0.7)):
    """One image a patient; races differ in size and prevalence, and the model uses both."""
    rng = np.random.default_rng(seed)
    race = rng.choice(["Asian", "Black", "White"], p=sizes, size=images)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{n:06d}" for n in range(images)],
            "patient_id": [f"p{n:06d}" for n in range(images)],
            "split": "test",
            "sex": rng.choice(["F", "M"], p=[0.4, 0.6], size=images),
            "race": race,
        }
    )
    base = pd.Series(race).map(PREVALENCE).to_numpy()
    for name in PATHOLOGIES:
        label = (rng.random(images) < base).astype(float)
        logit = label + shift * base + rng.normal(size=images)
        frame[f"y_{name}"] = label
        frame[f"p_{name}"] = 1 / (1 + np.exp(-logit))
    return frame


@pytest.mark.slow
@hypothesis_settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["F", "M", None]),
            st.sampled_from(["Asian", "Black", None]),
            st.sampled_from([0.0, 1.0, np.nan]),
        ),
        max_size=60,
    ),
    st.randoms(use_true_random=False),
)
def test_every_cell_weighs_the_same_and_has_the_same_prevalence(drawn, shuffle):
    cells = list(product(["F", "M"], ["Asian", "Black"], [0.0, 1.0]))  # no cell lacks a class
    frame = pd.DataFrame(cells + drawn, columns=["sex", "race", "y_Edema"])
    frame["image_id"] = [f"i{n:03d}" for n in range(len(frame))]
    frame = frame.assign(patient_id=frame["image_id"], split="test", p_Edema=0.5)
    (weight_N,) = image_weights(frame, "balanced", SETTINGS)
    known = frame[["sex", "race", "y_Edema"]].notna().all(axis=1)
    assert (weight_N[~known] == 0).all()
    counted = frame[known].assign(w=weight_N[known])
    assert counted["w"].sum() == pytest.approx(len(counted), rel=1e-12)
    pooled = counted["y_Edema"].mean()
    assert counted.groupby(["sex", "race"]).ngroups == 4
    for _, cell in counted.groupby(["sex", "race"]):
        assert cell["w"].sum() == pytest.approx(len(counted) / 4, rel=1e-12)
        prevalence = np.average(cell["y_Edema"], weights=cell["w"])
        assert abs(prevalence - pooled) < 1e-12
    order = list(range(len(frame)))
    shuffle.shuffle(order)
    (again_N,) = image_weights(frame.iloc[order], "balanced", SETTINGS)
    np.testing.assert_array_equal(again_N, weight_N[order])


def test_values_are_scikit_learns_weighted_aucs():
    frame = biased()
    result = evaluate(Predictions(frame), SETTINGS)
    weights = image_weights(frame, "balanced", SETTINGS)
    for p, name in enumerate(PATHOLOGIES):
        for attribute, group in (("overall", "all"), ("sex", "F"), ("race", "Black")):
            rows = slice(None) if group == "all" else (frame[attribute] == group).to_numpy()
            wanted = roc_auc_score(
                frame.loc[rows, f"y_{name}"],
                frame.loc[rows, f"p_{name}"],
                sample_weight=weights[p, rows],
            )
            row = pick(result.metrics, pathology=name, attribute=attribute, group=group)
            assert abs(row["value"] - wanted) < 1e-12
            assert row["protocol"] == "balanced"
            assert row["lo"] < row["value"] < row["hi"]


def test_prevalence_differences_between_groups_no_longer_count():
    frame = biased(40_000)
    full = evaluate(Predictions(frame), EvaluationSettings(replicates=0, metrics=("auc",)))
    weighed = evaluate(Predictions(frame), SETTINGS.model_copy(update={"replicates": 0}))
    # The truth: a test set that was collected balanced, with one prevalence for all.
    rng = np.random.default_rng(5)
    race, label = rng.choice([0.2, 0.6, 0.4], size=400_000), rng.random(400_000) < 0.3
    truth = roc_auc_score(label, label + 2.0 * race + rng.normal(size=400_000))
    everybody_row = {"pathology": "Edema", "attribute": "overall"}
    assert pick(weighed.metrics, **everybody_row)["value"] == pytest.approx(truth, abs=0.01)
    assert pick(full.metrics, **everybody_row)["value"] > truth + 0.02


def test_the_auc_is_the_mean_over_pairs_of_cells():
    frame = biased()
    result = evaluate(Predictions(frame), SETTINGS)
    cells = [cell for _, cell in frame.groupby(["race", "sex"])]
    pairs = []
    for mine, theirs in product(cells, cells):
        positive = mine.loc[mine["y_Edema"] == 1, "p_Edema"].to_numpy()
        negative = theirs.loc[theirs["y_Edema"] == 0, "p_Edema"].to_numpy()
        pairs.append((positive[:, None] > negative).mean())
    row = pick(result.metrics, pathology="Edema", attribute="overall")
    assert row["value"] == pytest.approx(np.mean(pairs), abs=1e-6)  # scores are float32 there


def test_a_replicate_balances_the_patients_it_drew(make_frame):
    frame = make_frame(images=300)  # several images a patient, unknown labels
    settings = SETTINGS.model_copy(update={"attributes": ("race",)})
    sample = sample_of([frame], "test", PATHOLOGIES)
    groups = groups_of(frame, "race", (40,))
    draws = patient_draws(sample.patient_ids, 4, seed=0)
    got = cell_aucs(sample, PROTOCOLS["balanced"](sample.images, settings), groups, draws)
    for b, draw in enumerate(draws):
        drawn = frame.loc[np.repeat(frame.index, draw[sample.patient_N])].reset_index(drop=True)
        drawn["image_id"] = [f"{n:05d}" for n in drawn.index]
        weights = image_weights(drawn, "balanced", settings)
        for p, name in enumerate(PATHOLOGIES):
            for g, group in enumerate(groups.names):
                rows = ((drawn["race"] == group) & drawn[f"y_{name}"].notna()).to_numpy()
                wanted = roc_auc_score(
                    drawn.loc[rows, f"y_{name}"],
                    drawn.loc[rows, f"p_{name}"],
                    sample_weight=weights[p, rows],
                )
                assert got[b, 0, p, g] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.slow
def test_a_fair_model_has_a_fair_null_whatever_the_prevalences():
    excess, p_values = [], []
    for seed in range(40):
        frame = biased(500, seed, shift=0.0, sizes=(0.3, 0.3, 0.4))
        settings = SETTINGS.model_copy(update={"replicates": 40})
        gap = pick(
            evaluate(Predictions(frame), settings).gaps, attribute="race", definition="gap_of_mean"
        )
        excess.append(gap["excess"])
        p_values.append(gap["p_value"])
    assert abs(np.mean(excess)) < 0.012
    assert 0.35 < np.mean(p_values) < 0.65


def test_a_cell_without_a_class_undoes_the_pathology_and_nothing_is_dropped():
    frame = biased()
    cell = (frame["race"] == "Black") & (frame["sex"] == "F")
    frame.loc[cell, "y_Edema"] = 0.0
    result = evaluate(Predictions(frame), SETTINGS)
    why = f"no balanced weights: race x sex = Black x F has 0 positives among {cell.sum()} images"
    edema = result.metrics[result.metrics["pathology"] == "Edema"]
    assert len(edema) == 6
    assert edema["value"].isna().all()
    assert (edema["reason"] == why).all()
    assert (edema["n"] > 0).all()
    fracture = result.metrics[result.metrics["pathology"] == "Fracture"]
    assert fracture["value"].notna().all()
    mean = pick(result.metrics, pathology="mean", attribute="race", group="White")
    assert pd.isna(mean["value"])
    assert mean["reason"] == f"undefined for Edema: {why}"
    gap = pick(result.gaps, attribute="sex", definition="mean_of_gaps")
    assert pd.isna(gap["value"])
    assert "Edema" in gap["reason"]
    weights = result.weights[result.weights["pathology"] == "Edema"]
    assert weights["ess"].isna().all()
    assert (weights["reason"] == why).all()
    assert (image_weights(frame, "balanced", SETTINGS)[0] == 0).all()


def test_a_replicate_that_loses_a_class_is_counted():
    frame = biased()
    cell = (frame["race"] == "Black") & (frame["sex"] == "F")
    frame.loc[cell, "y_Edema"] = 0.0
    frame.loc[frame.index[cell][0], "y_Edema"] = 1.0  # drawn in 63 % of the replicates
    result = evaluate(Predictions(frame), SETTINGS.model_copy(update={"replicates": 100}))
    row = pick(result.metrics, pathology="Edema", attribute="overall")
    lost = int(row["reason"].split()[0])
    assert "of 100 replicates undefined" in row["reason"]
    assert 20 <= lost <= 55


def test_images_that_lack_an_attribute_weigh_nothing_and_are_counted():
    frame = biased()
    frame.loc[:4, "race"] = None
    frame.loc[5:6, "sex"] = None
    result = evaluate(Predictions(frame), SETTINGS)
    note = "7 images without race or sex weigh 0"
    mean = pick(result.metrics, pathology="mean", attribute="overall")
    assert (mean["n"], mean["reason"]) == (len(frame) - 7, note)
    gap = pick(result.gaps, attribute="race", definition="gap_of_mean")
    assert gap["reason"] == f"5 images without race left out; {note}"
    row = pick(result.weights, pathology="Edema", attribute="overall")
    assert (row["images"], row["unique_images"]) == (len(frame), len(frame) - 7)
    nobody = evaluate(Predictions(frame.assign(race=None)), SETTINGS)
    reason = pick(nobody.metrics, pathology="Edema", attribute="overall")["reason"]
    assert reason == "no balanced weights: no image has a value of race"


def test_other_attributes_may_be_balanced_and_a_missing_one_is_refused(make_frame):
    frame = make_frame(images=600)
    settings = SETTINGS.model_copy(update={"balance": ("sex", "age"), "age_edges": (60.0,)})
    weight_N = image_weights(frame, "balanced", settings)[0]
    totals = pd.Series(weight_N).groupby([frame["sex"], frame["age"] >= 60]).sum()
    assert len(totals) == 4
    np.testing.assert_allclose(totals, totals.mean(), rtol=1e-12)
    with pytest.raises(BadInput, match=r"balances race x sex, but .* no 'race': .* sex, age"):
        image_weights(frame.drop(columns="race"), "balanced", SETTINGS)


def test_effective_sizes_stand_beside_the_metrics():
    frame = biased()
    both = SETTINGS.model_copy(update={"protocols": ("full", "balanced")})
    result = evaluate(Predictions(frame), both)
    weights = result.weights
    plain = weights[weights["protocol"] == "full"]
    assert (plain["ess"] == plain["labelled"]).all()
    assert (plain["duplicates"] == 0).all()
    weighed = weights[weights["protocol"] == "balanced"]
    assert set(weighed["attribute"]) == {"overall", "sex", "race", "race x sex"}
    assert weighed["duplicates"].isna().all()
    for name, rows in weighed.groupby("pathology"):
        np.testing.assert_allclose(rows["prevalence"], frame[f"y_{name}"].mean(), atol=1e-12)
    weight_N = image_weights(frame, "balanced", SETTINGS)[0]
    row = pick(weighed, pathology="Edema", attribute="overall")
    assert row["ess"] == pytest.approx(weight_N.sum() ** 2 / (weight_N**2).sum())
    assert row["largest_weight"] == weight_N.max()
    assert row["ess"] < row["unique_images"]
