import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.disaggregated.split_rows import design_of
from fairfm_core.evaluation.evaluate import evaluate, evaluate_seeds
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.tables import TABLES, read_evaluation, write_evaluation

SETTINGS = EvaluationSettings(replicates=40, metrics=("auc",))
METRIC_COLUMNS = [
    *("protocol", "split", "pathology", "attribute", "group", "metric", "value", "lo", "hi"),
    *("n", "n_patients", "n_positive", "bias_corrected", "reason"),
]
GAP_COLUMNS = [
    *("protocol", "split", "metric", "attribute", "definition", "value", "lo", "hi"),
    *(
        "bias_corrected",
        "null_mean",
        "null_hi",
        "p_value",
        "excess",
        "worst_group",
        "best_group",
        "reason",
    ),
]


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.metrics, other.metrics, check_exact=True)
    pd.testing.assert_frame_equal(one.gaps, other.gaps, check_exact=True)


def pick(frame, **where):
    for name, value in where.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, where
    return frame.iloc[0]


def test_columns_and_rows(make_frame):
    val, test = (Predictions(make_frame(split=split)) for split in ("val", "test"))
    result = evaluate([test, val], SETTINGS)
    assert result.metrics.columns.tolist() == METRIC_COLUMNS
    assert result.gaps.columns.tolist() == GAP_COLUMNS
    # 2 splits x ((1 + 2 + 3 groups) x (2 pathologies + mean) + 2 worst-group rows)
    assert len(result.metrics) == 2 * (6 * 3 + 2)
    assert len(result.gaps) == 2 * 2 * 2
    assert list(result.metrics["split"].unique()) == ["val", "test"]
    assert result.metrics["reason"].isna().all()
    assert result.metrics[["value", "lo", "hi"]].notna().all(axis=None)


def test_values_equal_scikit_learn_and_counts(make_frame):
    frame = make_frame()
    result = evaluate(Predictions(frame), SETTINGS)
    row = pick(result.metrics, pathology="Edema", attribute="race", group="Asian", metric="auc")
    cell = frame[(frame["race"] == "Asian") & frame["y_Edema"].notna()]
    assert row["value"] == pytest.approx(roc_auc_score(cell["y_Edema"], cell["p_Edema"]), abs=1e-12)
    assert (row["n"], row["n_patients"]) == (len(cell), cell["patient_id"].nunique())
    assert row["n_positive"] == cell["y_Edema"].sum()
    assert row["lo"] < row["value"] < row["hi"]
    means = result.metrics[result.metrics["pathology"] == "mean"]
    groups = means[(means["attribute"] == "race") & (means["metric"] == "auc")]
    gap = pick(result.gaps, attribute="race", definition="gap_of_mean")
    assert gap["value"] == pytest.approx(groups["value"].max() - groups["value"].min(), abs=1e-15)
    assert gap["worst_group"] == groups.loc[groups["value"].idxmin(), "group"]
    assert gap["best_group"] == groups.loc[groups["value"].idxmax(), "group"]
    assert gap["excess"] == pytest.approx(gap["value"] - gap["null_mean"], abs=1e-15)
    worst = pick(result.metrics, attribute="race", metric="worst_group_auc")
    assert worst["value"] == groups["value"].min()
    assert worst["group"] == gap["worst_group"]


def test_a_group_of_one_class_is_null_with_its_reason_and_so_is_the_gap(make_frame):
    frame = make_frame()
    frame.loc[frame["race"] == "Black", "y_Fracture"] = 0.0
    black = int((frame["race"] == "Black").sum())
    result = evaluate(Predictions(frame), SETTINGS)
    cell = pick(result.metrics, pathology="Fracture", attribute="race", group="Black")
    assert pd.isna(cell["value"])
    assert cell["reason"] == f"0 positives among {black} images"
    assert cell["n"] == black
    mean = pick(result.metrics, pathology="mean", attribute="race", group="Black", metric="auc")
    assert pd.isna(mean["value"])
    assert mean["reason"] == f"undefined for Fracture: 0 positives among {black} images"
    for definition in ("gap_of_mean", "mean_of_gaps"):
        gap = pick(result.gaps, attribute="race", definition=definition)
        numbers = ["value", "lo", "hi", "null_mean", "null_hi", "p_value", "excess"]
        assert gap[[*numbers, "worst_group", "best_group"]].isna().all()
        assert gap["reason"].startswith("race=Black undefined for Fracture: 0 positives")
        assert pd.notna(pick(result.gaps, attribute="sex", definition=definition)["value"])
    worst = pick(result.metrics, attribute="race", metric="worst_group_auc")
    assert pd.isna(worst["value"])
    assert pd.isna(worst["group"])


def test_min_cases_and_undefined_replicates(make_frame):
    frame = make_frame()
    black = frame.index[frame["race"] == "Black"]
    frame.loc[black, "y_Edema"] = 0.0
    frame.loc[black[:2], "y_Edema"] = 1.0
    result = evaluate(Predictions(frame), SETTINGS)
    cell = pick(result.metrics, pathology="Edema", attribute="race", group="Black")
    assert pd.notna(cell["value"])
    assert "of 40 replicates undefined" in cell["reason"]
    strict = evaluate(Predictions(frame), SETTINGS.model_copy(update={"min_cases": 5}))
    cell = pick(strict.metrics, pathology="Edema", attribute="race", group="Black")
    assert pd.isna(cell["value"])
    assert cell["reason"] == f"2 positives among {len(black)} images (at least 5 needed)"


def test_images_without_a_group_are_counted(make_frame):
    frame = make_frame(800)
    frame.loc[:9, "race"] = None
    gap = pick(
        evaluate(Predictions(frame), SETTINGS).gaps, attribute="race", definition="gap_of_mean"
    )
    assert gap["reason"] == "10 images without race left out"
    assert pd.notna(gap["value"])
    nobody = evaluate(Predictions(frame.assign(race=None)), SETTINGS)
    gap = pick(nobody.gaps, attribute="race", definition="gap_of_mean")
    assert pd.isna(gap["value"])
    assert gap["reason"].startswith("no image has a value of race")
    single = evaluate(Predictions(frame.assign(race="White")), SETTINGS)
    gap = pick(single.gaps, attribute="race", definition="gap_of_mean")
    assert gap["reason"] == "race has one group only: White"


def test_row_order_changes_nothing(make_frame):
    frame = make_frame()
    settings = SETTINGS.model_copy(update={"attributes": ("sex", "age")})
    shuffled = frame.sample(frac=1, random_state=1)
    assert_same(evaluate(Predictions(frame), settings), evaluate(Predictions(shuffled), settings))


def test_no_number_of_one_split_depends_on_another(make_frame):
    val = Predictions(make_frame(split="val"))
    alone = evaluate(val, SETTINGS)
    both = evaluate([val, Predictions(make_frame(split="test", seed=5))], SETTINGS)
    for frame, whole in ((alone.metrics, both.metrics), (alone.gaps, both.gaps)):
        kept = whole[whole["split"] == "val"].reset_index(drop=True)
        pd.testing.assert_frame_equal(frame, kept, check_exact=True)


def test_without_replicates_the_tables_say_so(make_frame):
    settings = EvaluationSettings(replicates=0, metrics=("auc",))
    result = evaluate(Predictions(make_frame()), settings)
    assert (result.metrics["reason"] == "no interval: 0 replicates").all()
    assert (result.gaps["reason"] == "no interval: 0 replicates; no null: 0 replicates").all()
    assert result.gaps["value"].notna().all()


def test_one_seed_equals_evaluate(make_frame):
    predictions = Predictions(make_frame())
    assert_same(evaluate_seeds([predictions], SETTINGS), evaluate(predictions, SETTINGS))


def test_only_the_named_tables_are_made(make_frame):
    predictions, settings = Predictions(make_frame()), SETTINGS.model_copy(update={"replicates": 5})
    whole = evaluate(predictions, settings)
    for names in (("metrics", "replicates"), ("weights", "differences"), ("gaps", "thresholds")):
        some = evaluate(predictions, settings, names)
        for name, table in whole.tables.items():
            assert some.tables[name].equals(table if name in names else table[:0]), name


def test_several_seeds_are_the_mean_with_joint_draws(make_frame):
    seeds = [Predictions(make_frame(model=model)) for model in range(3)]
    joint = evaluate_seeds(seeds, SETTINGS)
    single = [evaluate(seed, SETTINGS) for seed in seeds]
    for kind in ("metrics", "gaps"):
        wanted = np.mean([getattr(one, kind)["value"] for one in single], axis=0)
        np.testing.assert_allclose(getattr(joint, kind)["value"], wanted, rtol=0, atol=1e-14)
    wanted = np.mean([one.gaps["null_mean"] for one in single], axis=0)
    np.testing.assert_allclose(joint.gaps["null_mean"], wanted, rtol=0, atol=1e-14)
    # The interval of a mean is narrower than the average interval, never wider.
    width = np.mean([one.metrics["hi"] - one.metrics["lo"] for one in single], axis=0)
    assert (joint.metrics["hi"] - joint.metrics["lo"]).mean() < width.mean()
    # A mean of equal seeds is the one, but for the order of sums in the limits of extremes.
    twice = evaluate_seeds([seeds[0]] * 2, SETTINGS)
    for kind in ("metrics", "gaps"):
        pair = getattr(twice, kind), getattr(single[0], kind)
        pd.testing.assert_frame_equal(*pair, rtol=1e-12, atol=1e-14)


def test_seeds_of_other_images_are_refused(make_frame):
    frame = make_frame()
    with pytest.raises(BadInput, match="seed 1 predicts different images from seed 0: test-00199"):
        evaluate_seeds([Predictions(frame), Predictions(frame.head(199))], SETTINGS)
    with pytest.raises(BadInput, match="seed 1 has different values of 'y_Edema'"):
        evaluate_seeds([Predictions(frame), Predictions(frame.assign(y_Edema=1.0))], SETTINGS)
    with pytest.raises(BadInput, match="different columns"):
        evaluate_seeds([Predictions(frame), Predictions(frame.drop(columns="age"))], SETTINGS)
    with pytest.raises(BadInput, match="no predictions given"):
        evaluate_seeds([], SETTINGS)


def test_tables_that_do_not_fit_are_refused(make_frame):
    val, test = make_frame(split="val"), make_frame(split="test")
    with pytest.raises(BadInput, match="differ in columns: age"):
        evaluate([Predictions(val), Predictions(test.drop(columns="age"))], SETTINGS)
    with pytest.raises(BadInput, match="more than once"):
        evaluate([Predictions(val), Predictions(val)], SETTINGS)
    with pytest.raises(BadInput, match="unknown attribute 'race'"):
        evaluate(Predictions(val.drop(columns="race")), SETTINGS)
    with pytest.raises(BadInput, match="no predictions given"):
        evaluate([], SETTINGS)


def test_a_planted_gap_is_found(make_frame):
    frame = make_frame(images=1500, harm=1.0)
    result = evaluate(Predictions(frame), SETTINGS)
    race = pick(result.gaps, attribute="race", definition="gap_of_mean")
    assert race["p_value"] == pytest.approx(1 / 41)
    assert race["worst_group"] == "Black"
    assert race["value"] > race["null_hi"]
    assert race["lo"] < race["value"] < race["hi"]


def test_tables_survive_their_files(make_frame, tmp_path):
    frame = make_frame()
    frame.loc[frame["race"] == "Black", "y_Fracture"] = 0.0
    result = evaluate(Predictions(frame), SETTINGS)
    write_evaluation(result, tmp_path / "out")
    assert_same(read_evaluation(tmp_path / "out"), result)
    pd.testing.assert_frame_equal(read_evaluation(tmp_path / "out").weights, result.weights)
    (tmp_path / "out" / "weights.parquet").unlink()  # as an older version wrote them
    assert_same(read_evaluation(tmp_path / "out"), result)
    assert read_evaluation(tmp_path / "out").weights.empty
    (tmp_path / "out" / "gaps.parquet").unlink()
    with pytest.raises(BadInput, match=r"has no gaps\.parquet"):
        read_evaluation(tmp_path / "out")


def test_settings_name_each_protocol_and_balancing_attribute_once():
    for wrong in ({"protocols": ()}, {"protocols": ("full", "full")}, {"balance": ()}):
        with pytest.raises(ValidationError, match="give at least one name, and each only once"):
            EvaluationSettings(**wrong)
    assert EvaluationSettings(protocols=("full",), balance=("race", "sex")).content() == {}


@pytest.mark.slow
def test_loads_without_torch():
    code = (
        "import sys, fairfm_core.evaluation.evaluate, fairfm_core.evaluation.selection.selection,"
        " fairfm_core.evaluation.summary; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("protocol", ["full", "balanced", "resample"])
def test_trials_of_one_data_set_share_their_design_and_keep_their_numbers(make_frame, protocol):
    frame = make_frame(200)
    other = frame.assign(p_Edema=frame["p_Edema"] ** 2, p_Fracture=1 - frame["p_Fracture"])
    settings = EvaluationSettings(protocols=(protocol,), replicates=20)
    design_of.cache_clear()
    alone = evaluate(Predictions(other), settings)
    design_of.cache_clear()
    evaluate(Predictions(frame), settings)
    shared = evaluate(Predictions(other.copy()), settings)
    assert design_of.cache_info().hits == 1
    for table in TABLES:
        pd.testing.assert_frame_equal(
            getattr(alone, table), getattr(shared, table), check_exact=True
        )


@pytest.mark.parametrize("column", ["y_Edema", "sex", "patient_id"])
def test_one_other_value_makes_another_design(make_frame, column):
    frame = make_frame(200)
    changed = frame.copy()
    changed.loc[frame.index[0], column] = frame.loc[
        frame[column] != frame[column].iloc[0], column
    ].iloc[0]
    settings = EvaluationSettings(replicates=20)
    design_of.cache_clear()
    evaluate(Predictions(frame), settings)
    after = evaluate(Predictions(changed), settings)
    assert design_of.cache_info().hits == 0
    design_of.cache_clear()
    for table in TABLES:
        alone = getattr(evaluate(Predictions(changed), settings), table)
        pd.testing.assert_frame_equal(alone, getattr(after, table), check_exact=True)
