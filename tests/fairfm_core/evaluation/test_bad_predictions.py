"""What cannot be evaluated is refused in one line, or is null with its reason; never a traceback.

Also not: a group or a pathology that is silently left out, or a number that means nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.evaluate import evaluate, evaluate_seeds
from fairfm_core.evaluation.pairing import check_pairing
from fairfm_core.evaluation.predictions import Predictions, read_predictions
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from fairfm_core.evaluation.resampling.bootstrap import ONE_PATIENT

SETTINGS = EvaluationSettings(replicates=20)
NUMBERS = ["value", "lo", "hi", "bias_corrected", "null_mean", "null_hi", "p_value", "excess"]
GLOCKER_LABELS = {"Edema": "Pleural Effusion", "Fracture": "No Finding"}


def one_line(says, function, *given):
    """The message of the BadInput that `function` raises: one line that names what is wrong."""
    with pytest.raises(BadInput, match=says) as caught:
        function(*given)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def with_value(frame, column, value, row=3):
    changed = frame.astype({column: object})
    changed.loc[row, column] = value
    return changed


def pick(frame, **where):
    for name, value in where.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, where
    return frame.iloc[0]


def both_splits(make_frame, images=200):
    return [Predictions(make_frame(images, split)) for split in ("val", "test")]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: with_value(f, "p_Edema", np.nan), "p_Edema of image test-00003 is nan; a prob"),
        (lambda f: with_value(f, "p_Edema", None), "p_Edema of image test-00003 is nan; a prob"),
        (lambda f: with_value(f, "p_Edema", np.inf), "p_Edema of image test-00003 is inf"),
        (lambda f: with_value(f, "p_Edema", 1.0001), r"p_Edema of image test-00003 is 1\.0001"),
        (lambda f: with_value(f, "p_Edema", -1e-3), r"test-00003 is -0\.001; a probability in 0"),
        (lambda f: f.assign(p_Edema=3 * f["p_Edema"]), r"such rows\): apply the sigmoid"),
        (lambda f: with_value(f, "p_Edema", "a\nb"), "column 'p_Edema' is not numeric"),
        (lambda f: with_value(f, "y_Edema", 2.0), r"y_Edema holds 2\.0; allowed: 0, 1, null"),
        (lambda f: with_value(f, "y_Edema", -1.0), r"y_Edema holds -1\.0; allowed: 0, 1, null"),
        (lambda f: with_value(f, "y_Edema", 0.5), r"y_Edema holds 0\.5; allowed: 0, 1, null"),
        (lambda f: f.assign(y_Edema=np.arange(len(f)) + 2), r"\.\.\. \(30 in all\); allowed"),
        (lambda f: with_value(f, "y_Edema", "ill\n"), "column 'y_Edema' is not numeric"),
        (lambda f: f.assign(image_id="one"), "image_id occurs more than once: one; give one row"),
        (
            lambda f: f.assign(image_id=f["image_id"].str[:-1]),
            r"more than once: test-0000, .*-0002",
        ),
        (lambda f: with_value(f, "image_id", None), "image_id is blank in 1 of 30 rows, first in"),
        (lambda f: with_value(f, "patient_id", None), "patient_id is blank in 1 of 30 rows, first"),
        (lambda f: with_value(f, "split", None), "split is blank in 1 of 30 rows, first in row 4;"),
        (
            lambda f: with_value(f, "split", "dev"),
            "unknown split dev; allowed are train, val, test",
        ),
        (lambda f: f.drop(columns="patient_id"), "lack the column 'patient_id'"),
        (
            lambda f: f.drop(columns="y_Edema"),
            "'p_Edema' has no matching column 'y_Edema'; give both",
        ),
        (lambda f: f.head(0), "predictions hold no rows; one row per image is expected"),
        (lambda f: pd.concat([f, f[["y_Edema"]]], axis=1), "y_Edema"),
        (lambda f: pd.concat([f, f[["sex"]]], axis=1), "sex"),
    ],
)
def test_a_table_that_breaks_the_contract_is_refused(make_frame, spoil, says):
    one_line(says, lambda: evaluate(Predictions(spoil(make_frame(30))), SETTINGS))


def test_a_file_without_rows_is_refused_as_a_table_is(make_frame, tmp_path):
    make_frame(30).head(0).to_parquet(tmp_path / "empty.parquet")
    one_line("predictions hold no rows", read_predictions, tmp_path / "empty.parquet")


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        (("race",), r"unknown attribute 'race'.*; the predictions have: sex, age"),
        (("sexe",), r"unknown attribute 'sexe' \(did you mean 'sex'\?\); the predictions have"),
        (("sex x race",), "unknown attribute 'race'"),
        (("p_Edema",), "unknown attribute 'p_Edema'"),
        (("patient_id",), "unknown attribute 'patient_id'"),
    ],
)
def test_a_missing_attribute_is_named_with_what_there_is(make_frame, attributes, says):
    predictions = Predictions(make_frame(30).drop(columns="race"))
    settings = SETTINGS.model_copy(update={"attributes": attributes})
    one_line(says, evaluate, predictions, settings)


@pytest.mark.parametrize("protocol", ["balanced", "resample", "glocker"])
def test_an_attribute_or_label_that_a_protocol_needs_is_named(make_frame, protocol):
    settings = SETTINGS.model_copy(update={"protocols": (protocol,), "attributes": ("sex",)})
    one_line("have no 'race'", evaluate, Predictions(make_frame(30).drop(columns="race")), settings)
    if protocol == "glocker":
        says = "the predictions have no 'Pleural Effusion'"
        one_line(says, evaluate, Predictions(make_frame(30)), settings)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_group_of_one_class_is_null_with_its_reason_in_every_table(make_frame, protocol):
    """Under protocols that draw, the reason may be that a cell cannot be balanced."""
    val, test = (make_frame(300, split).rename(columns=renamed) for split in ("val", "test"))
    black = test["race"] == "Black"
    test.loc[black, "y_No Finding"] = 0.0
    settings = SETTINGS.model_copy(update={"protocols": (protocol,)})
    result = evaluate([Predictions(val), Predictions(test)], settings)
    on_test = {"split": "test", "attribute": "race"}
    lost = {"auc", "auprc", "calibration_slope", "calibration_intercept"}
    lost |= {f"{name}@fpr=0.2" for name in ("tpr", "fnr", "overdiagnosis")}
    undone = protocol in ("balanced", "resample")  # then all metrics are, in all groups
    cells = result.metrics[result.metrics["pathology"] == "No Finding"]
    for metric in sorted(set(cells["metric"])):
        row = pick(cells, group="Black", metric=metric, **on_test)
        assert pd.isna(row["value"]) == (undone or metric in lost), metric
        if pd.isna(row["value"]):
            assert "0 positives among" in row["reason"]
            assert row["n_positive"] == 0
            assert row["n"] > 0 or protocol == "resample"  # of no test set nobody is drawn
            assert pd.isna([row["lo"], row["hi"]]).all()
    for metric in lost:
        gaps = result.gaps
        gaps = gaps[(gaps["metric"] == metric) & (gaps["attribute"] == "race")]
        gaps = gaps[gaps["split"] == "test"]
        assert len(gaps) == 2
        assert gaps[[*NUMBERS, "worst_group", "best_group"]].isna().all(axis=None)
        assert gaps["reason"].str.contains("No Finding: ").all()
        assert gaps["reason"].str.contains("race=Black").all()
    differences = result.differences[result.differences["pathology"] == "No Finding"]
    row = pick(differences, group="Black", reference="White", metric="auc", split="test")
    assert row[["value", "lo", "hi", "relative", "p_value"]].isna().all()
    assert "0 positives among" in row["reason"]
    effusion = pick(
        result.metrics, pathology="Pleural Effusion", group="Black", metric="auc", **on_test
    )
    assert pd.notna(effusion["value"])


def renamed(column):
    """The pathologies as the protocol glocker wants them."""
    return column[:2] + GLOCKER_LABELS.get(column[2:], column[2:]) if column[1] == "_" else column


@pytest.mark.parametrize("intervals", ["bootstrap", "delong"])
def test_one_patient_has_values_and_no_interval(make_frame, intervals):
    frame = make_frame(100).assign(patient_id="only", sex=["F", "M"] * 50)
    settings = SETTINGS.model_copy(
        update={"attributes": ("sex",), "metrics": ("auc",), "intervals": intervals}
    )
    result = evaluate(Predictions(frame), settings)
    for table in (result.metrics, result.gaps, result.differences):
        assert table["value"].notna().all()
        assert table[["lo", "hi"]].isna().all(axis=None)
        assert table["reason"].str.contains(ONE_PATIENT, regex=False).all()


def test_a_group_of_one_patient_has_no_interval_and_the_others_have(make_frame):
    frame = make_frame(200)
    frame.loc[frame["race"] == "Black", "patient_id"] = "only"
    result = evaluate(
        Predictions(frame),
        SETTINGS.model_copy(update={"metrics": ("auc",), "replicates": 200}),
    )
    cells = result.metrics[result.metrics["pathology"] == "Edema"]
    black = pick(cells, group="Black")
    assert black["n_patients"] == 1
    assert pd.notna(black["value"])
    assert pd.isna(black["lo"])
    assert black["reason"] == ONE_PATIENT
    assert cells[cells["group"] != "Black"]["lo"].notna().all()
    gap = pick(result.gaps, attribute="race", definition="gap_of_mean")
    assert pd.notna(gap["value"])
    assert pd.isna(gap["lo"])
    assert ONE_PATIENT in gap["reason"]


def test_a_pathology_without_labels_is_null_with_its_reason(make_frame):
    """As a split may hold none of a rare label's uncertain ones."""
    val, test = (make_frame(200, split) for split in ("val", "test"))
    test["y_Edema"] = np.nan
    for protocol in ("full", "balanced", "resample"):
        settings = SETTINGS.model_copy(update={"protocols": (protocol,)})
        result = evaluate([Predictions(val), Predictions(test)], settings)
        rows = result.metrics[result.metrics["split"] == "test"]
        edema = rows[rows["pathology"] == "Edema"]
        assert len(edema)
        assert edema["value"].isna().all()
        assert edema["reason"].str.contains("0 images|0 positives among 0 images").all()
        assert (edema["n"] == 0).all()
        mean = pick(rows, pathology="mean", attribute="overall", metric="auc")
        assert pd.isna(mean["value"])
        assert mean["reason"].startswith("undefined for Edema: ")
        fracture = pick(rows, pathology="Fracture", attribute="overall", metric="auc")
        assert pd.notna(fracture["value"])


def test_a_split_without_rows_of_a_class_is_null_and_the_other_split_is_not(make_frame):
    val, test = (make_frame(200, split) for split in ("val", "test"))
    test["y_Edema"] = test["y_Edema"].where(test["y_Edema"].isna(), 1.0)
    result = evaluate([Predictions(val), Predictions(test)], SETTINGS)
    rows = result.metrics[result.metrics["attribute"] == "overall"]
    known = int(test["y_Edema"].notna().sum())
    row = pick(rows, split="test", pathology="Edema", metric="auc")
    assert pd.isna(row["value"])
    assert row["reason"] == f"0 negatives among {known} images"
    assert pd.notna(pick(rows, split="val", pathology="Edema", metric="auc")["value"])
    # What needs no second class is there: Brier score, and the rate of the class that is.
    assert pd.notna(pick(rows, split="test", pathology="Edema", metric="brier")["value"])
    assert pd.notna(pick(rows, split="test", pathology="Edema", metric="tpr@fpr=0.2")["value"])
    row = pick(rows, split="test", pathology="Edema", metric="fpr@fpr=0.2")
    assert pd.isna(row["value"])
    assert row["reason"] == f"0 negatives among {known} images"


def test_a_combination_that_one_split_lacks_is_not_left_out_of_its_gap(make_frame):
    val, test = (make_frame(300, split) for split in ("val", "test"))
    val = val[(val["race"] != "Black") | (val["sex"] != "F")]
    settings = SETTINGS.model_copy(update={"attributes": ("race x sex",), "metrics": ("auc",)})
    result = evaluate([Predictions(val), Predictions(test)], settings)
    names = result.metrics[result.metrics["attribute"] == "race x sex"]
    assert set(names[names["split"] == "val"]["group"].dropna()) == set(
        names[names["split"] == "test"]["group"].dropna()
    )
    gaps = result.gaps.set_index(["split", "definition"])
    assert pd.notna(gaps.loc[("test", "gap_of_mean"), "value"])
    assert pd.isna(gaps.loc[("val", "gap_of_mean"), "value"])
    assert "Black x F" in gaps.loc[("val", "gap_of_mean"), "reason"]


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("intervals", ["bootstrap", "delong"])
def test_no_replicates_are_no_error(make_frame, protocol, intervals):
    frame = make_frame(300).rename(columns=renamed)
    settings = EvaluationSettings(protocols=(protocol,), replicates=0, intervals=intervals)
    result = evaluate(Predictions(frame), settings)
    cells = result.metrics[result.metrics["metric"] == "auc"]
    assert cells["value"].notna().all()
    assert cells["lo"].isna().all()
    gaps = result.gaps[result.gaps["metric"] == "auc"]
    assert gaps["value"].notna().all()
    assert gaps["p_value"].isna().all()
    assert gaps["reason"].str.contains("no interval: 0 replicates; no null: 0 replicates").all()


def pair(first, other):
    check_pairing(Predictions(first), Predictions(other), ("A", "B"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.head(28), r"cannot be paired: they predict different images \(test-0002"),
        (lambda f: f.drop(columns=["y_Edema", "p_Edema"]), r"different pathologies \(Edema\)"),
        (lambda f: f.rename(columns=renamed), "different pathologies"),
        (lambda f: f.assign(y_Edema=1.0), r"'y_Edema' differs \(image test-000"),
        (lambda f: with_value(f, "y_Edema", None), r"'y_Edema' differs \(image test-00003\)"),
        (lambda f: with_value(f, "patient_id", "x"), r"'patient_id' differs \(image test-00003\)"),
        (lambda f: with_value(f, "split", "val"), r"'split' differs \(image test-00003\)"),
    ],
)
def test_models_that_do_not_pair_are_refused_with_the_first_culprits(make_frame, change, says):
    frame = make_frame(30)
    frame["y_Edema"] = frame["y_Edema"].fillna(0.0)
    frame.loc[3, "y_Edema"] = 0.0
    one_line(says, pair, frame, change(frame))
    one_line("B and A|A and B", pair, change(frame), frame)


def test_models_pair_whatever_the_order_of_rows_and_the_types_of_columns(make_frame):
    frame = make_frame(30)
    pair(frame, frame.sample(frac=1, random_state=0))
    pair(frame, frame.assign(p_Edema=0.5))
    pair(frame, frame.assign(y_Edema=frame["y_Edema"].astype("float32")))
    pair(frame, frame.astype({"patient_id": object, "y_Edema": object}))
    whole = frame.assign(y_Edema=frame["y_Edema"].fillna(0.0))
    pair(whole, whole.astype({"y_Edema": int}))
    pair(whole, whole.astype({"y_Edema": bool}))


def test_seeds_are_compared_by_value_not_by_type(make_frame):
    frame = make_frame(60)
    whole = frame.assign(y_Edema=frame["y_Edema"].fillna(0.0))
    settings = SETTINGS.model_copy(update={"metrics": ("auc",)})
    both = [Predictions(whole), Predictions(whole.astype({"y_Edema": int}))]
    mixed, same = evaluate_seeds(both, settings), evaluate_seeds(both[:1] * 2, settings)
    pd.testing.assert_frame_equal(mixed.metrics, same.metrics, check_exact=True)
    one_line("seed 1 has different values of 'y_Edema'", evaluate_seeds, [*both[:1], Predictions(
        whole.assign(y_Edema=1.0))], settings)  # fmt: skip


def test_a_patient_alone_in_a_cell_gives_no_interval_to_what_rests_on_it(make_frame):
    """The group has many patients, but one alone has a label of this pathology."""
    frame = make_frame(300)
    black = frame.index[frame["race"] == "Black"]
    keep = frame.loc[black, "patient_id"] == frame.loc[black[0], "patient_id"]
    frame.loc[black, "y_Edema"] = np.nan
    frame.loc[black[keep.to_numpy()], "y_Edema"] = 1.0
    frame.loc[black[0], "y_Edema"] = 0.0
    if keep.sum() < 2:
        frame.loc[black[1], ["y_Edema", "patient_id"]] = [1.0, frame.loc[black[0], "patient_id"]]
    settings = SETTINGS.model_copy(update={"metrics": ("auc",), "attributes": ("race",)})
    found = evaluate(Predictions(frame), settings)
    why = "no interval: one patient only"
    gaps = found.gaps[found.gaps["value"].notna()]
    assert len(gaps) == 2
    assert gaps["lo"].isna().all()
    assert gaps["reason"].str.contains(why).all()
    rows = found.differences
    rests = (rows["group"] == "Black") | (rows["reference"] == "Black")
    rests &= rows["pathology"].isin(("Edema", "mean"))
    assert rests.sum() > 4
    assert rows.loc[rests, "lo"].isna().all()
    assert rows.loc[~rests, "lo"].notna().all()
