"""Differences between groups: every column from plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.groups import everybody
from fairfm_core.evaluation.predictions import Predictions, sample_of
from fairfm_core.evaluation.protocols.weighting import unweighted
from tests.fairfm_core.evaluation.cohorts import (
    aucs_of,
    cell_aucs,
    fair_aucs_by_loops,
    fair_everybody_by_loops,
    patients_by_class,
    val_and_test,
)

SETTINGS = EvaluationSettings(attributes=("sex", "race"), replicates=60)
AUC_ONLY = SETTINGS.model_copy(update={"metrics": ("auc",)})
PAIRS = {"sex": [("F", "M")], "race": [("Asian", "Black"), ("Asian", "White"), ("Black", "White")]}


@pytest.mark.slow
def test_differences_are_signed_relative_and_complete(make_frame):
    result = evaluate(val_and_test(make_frame), SETTINGS)
    cells = result.metrics.set_index(["split", "attribute", "group", "pathology", "metric"])
    assert set(result.differences["split"]) == {"val", "test"}
    for split in ("val", "test"):
        rows = result.differences[result.differences["split"] == split]
        for attribute, pairs in PAIRS.items():
            groups = sorted({name for pair in pairs for name in pair})
            wanted = {(group, "overall") for group in groups} | set(pairs)
            for _, table in rows[rows["attribute"] == attribute].groupby(["pathology", "metric"]):
                assert len(table) == len(wanted)
                assert set(zip(table["group"], table["reference"], strict=True)) == wanted
        assert set(rows["pathology"]) == {"Edema", "Fracture", "mean"}
        for _, row in rows.iterrows():
            key = row["pathology"], row["metric"]
            mine = cells.loc[(split, row["attribute"], row["group"], *key), "value"]
            other = (split, row["attribute"], row["reference"], *key)
            if row["reference"] == "overall":
                other = (split, "overall", "all", *key)
            theirs = cells.loc[other, "value"]
            assert row["value"] == pytest.approx(mine - theirs, abs=1e-12)
            assert row["relative"] == pytest.approx((mine - theirs) / theirs, abs=1e-9)


def test_intervals_and_p_values_of_differences_equal_loops(make_frame):
    frame = make_frame(500).sort_values("image_id")
    rows = evaluate(Predictions(frame), AUC_ONLY).differences
    whole_BP = aucs_of(frame, "overall", "bootstrap", 60)[..., 0]
    sample = sample_of([frame], "test", ("Edema", "Fracture"))
    once = cell_aucs(
        sample,
        unweighted(sample.images),
        everybody(len(frame)),
        np.ones((1, frame["patient_id"].nunique()), dtype=np.uint16),
    )[0, 0, :, 0]
    for attribute in ("sex", "race"):
        names = sorted(frame[attribute].unique())
        draws_BPG = aucs_of(frame, attribute, "bootstrap", 60)
        value_PG = aucs_of(frame, attribute, "data", 1)[0]
        groups = value_PG, draws_BPG, patients_by_class(frame, attribute)
        null_BPG = fair_aucs_by_loops(*groups)
        null_of_all_BP = fair_everybody_by_loops(once, whole_BP, *groups)
        for _, row in rows[rows["attribute"] == attribute].iterrows():
            g = names.index(row["group"])
            drawn, null = draws_BPG[..., g], null_BPG[..., g]
            if row["reference"] == "overall":
                drawn, null = drawn - whole_BP, null - null_of_all_BP
            else:
                h = names.index(row["reference"])
                drawn, null = drawn - draws_BPG[..., h], null - null_BPG[..., h]
            place = {"Edema": [0], "Fracture": [1], "mean": [0, 1]}[row["pathology"]]
            drawn, null = drawn[:, place].mean(axis=1), null[:, place].mean(axis=1)
            assert row["lo"] == pytest.approx(np.quantile(drawn, 0.025), abs=1e-12)
            assert row["hi"] == pytest.approx(np.quantile(drawn, 0.975), abs=1e-12)
            as_large = sum(1 for each in null if abs(each) >= abs(row["value"]) - 1e-12)
            assert row["p_value"] == (1 + as_large) / 61


def test_a_difference_the_other_way_round_is_its_negative(make_frame):
    """The other order comes of another name: `F` and `M` against `Woman` and `M`."""
    parts = val_and_test(make_frame)
    renamed = [
        Predictions(part.frame.assign(sex=part.frame["sex"].replace("F", "Woman")))
        for part in parts
    ]
    settings = SETTINGS.model_copy(update={"attributes": ("sex",)})
    first, turned = (evaluate(each, settings).differences for each in (parts, renamed))
    key = ["split", "pathology", "metric"]
    first = first[first["reference"] == "M"].set_index(key)
    turned = turned[turned["reference"] == "Woman"].set_index(key)
    assert len(first)
    np.testing.assert_allclose(turned["value"], -first["value"], atol=1e-12)
    np.testing.assert_allclose(turned["lo"], -first["hi"], atol=1e-12)
    np.testing.assert_allclose(turned["hi"], -first["lo"], atol=1e-12)
    np.testing.assert_allclose(turned["p_value"], first["p_value"], atol=1e-12)


def test_an_undefined_side_makes_a_difference_null_with_its_reason(make_frame):
    frame = make_frame(500)
    frame.loc[frame["race"] == "Black", "y_Fracture"] = 0.0
    rows = evaluate(Predictions(frame), AUC_ONLY).differences
    race = rows[rows["attribute"] == "race"]
    touched = (race["group"] == "Black") | (race["reference"] == "Black")
    fracture, mean = race["pathology"] == "Fracture", race["pathology"] == "mean"
    lost = touched & (fracture | mean)
    assert race[lost][["value", "lo", "hi", "relative", "p_value"]].isna().all(axis=None)
    assert race[touched & fracture]["reason"].str.startswith("0 positives among").all()
    assert (race[touched & mean]["reason"] == "undefined for 1 of 2 pathologies").all()
    assert race[~lost]["value"].notna().all()
