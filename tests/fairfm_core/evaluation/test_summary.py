import pyarrow.compute as pc
import pytest

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.numbers import known_numbers, number_named
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.selection import validation_table
from fairfm_core.evaluation.summary import final_metrics, number_rows, validation_metrics
from fairfm_core.evaluation.tables import Evaluation

SETTINGS = EvaluationSettings(replicates=20)
USUAL = (
    "auc",
    *("worst_group_auc_sex", "gap_sex", "mean_of_gaps_sex"),
    *("worst_group_auc_race", "gap_race", "mean_of_gaps_race"),
)
"""What every trial logs, whatever its objectives are."""


def _evaluation(make_frame, spoil=lambda frame: frame):
    val, test = make_frame(split="val"), spoil(make_frame(split="test", seed=1))
    return evaluate([Predictions(val), Predictions(test)], SETTINGS)


def test_flat_keys(make_frame):
    flat = final_metrics(_evaluation(make_frame))
    numbers = USUAL
    wanted = {f"{split}/{name}" for split in ("val", "test") for name in numbers}
    wanted |= {f"test_ci/{name}_{end}" for name in numbers for end in ("lo", "hi")}
    wanted |= {f"test_corrected/{name}" for name in numbers if name != "auc"}
    assert set(flat) == wanted | {"quality/undefined_auc"}
    assert flat["test_corrected/gap_sex"] < flat["test/gap_sex"]
    assert flat["test_corrected/worst_group_auc_sex"] > flat["test/worst_group_auc_sex"]
    assert all(key.count("/") == 1 for key in flat)
    assert all(type(value) is float for value in flat.values())
    assert flat["test_ci/auc_lo"] < flat["test/auc"] < flat["test_ci/auc_hi"]
    assert flat["quality/undefined_auc"] == 0


@pytest.mark.slow
def test_the_first_protocol_is_summarised_and_no_other(make_frame):
    both = [Predictions(make_frame(split=split)) for split in ("val", "test")]
    alone = {
        name: final_metrics(evaluate(both, SETTINGS.model_copy(update={"protocols": (name,)})))
        for name in ("full", "balanced")
    }
    assert alone["full"]["val/auc"] != alone["balanced"]["val/auc"]
    for names in (("full", "balanced"), ("balanced", "full")):
        evaluation = evaluate(both, SETTINGS.model_copy(update={"protocols": names}))
        assert evaluation.protocol == names[0]
        assert final_metrics(evaluation) == alone[names[0]]
        table = validation_table({"a": evaluation})
        groups = evaluation.metrics[evaluation.metrics["protocol"] == names[0]]
        groups = groups[(groups["split"] == "val") & (groups["pathology"] == "mean")]
        wanted = groups[(groups["group"] == "F") & (groups["metric"] == "auc")]["value"].item()
        assert table["val/auc[sex=F]"].item() == wanted


def test_undefined_numbers_are_left_out_and_counted(make_frame):
    def spoil(frame):
        return frame.assign(y_Edema=frame["y_Edema"].where(frame["race"] != "Black", 0.0))

    flat = final_metrics(_evaluation(make_frame, spoil))
    assert flat["quality/undefined_auc"] == 1
    assert "test/gap_race" not in flat
    assert "test_ci/gap_race_lo" not in flat
    assert {"val/gap_race", "test/gap_sex", "test/auc"} <= set(flat)


def test_no_test_number_passes_validation_metrics(make_frame):
    evaluation = _evaluation(make_frame)
    values = validation_metrics(evaluation)
    assert set(values) == {f"val/{name}" for name in USUAL}
    changed = _evaluation(make_frame, lambda frame: frame.assign(p_Edema=0.5, race="White"))
    assert validation_metrics(changed) == values
    metrics, gaps = evaluation.tables["metrics"], evaluation.tables["gaps"]
    only_test = metrics.filter(pc.equal(metrics["split"], "test"))
    changed = Evaluation({**evaluation.tables, "metrics": only_test, "gaps": gaps.slice(0, 0)})
    assert validation_metrics(changed) == {}


def test_numbers_of_other_metrics_are_those_of_the_tables(make_frame):
    evaluation = _evaluation(make_frame)
    more = ("brier", "gap_equalized_odds@fpr=0.2_sex", "worst_group_ece_race", "no_such_number")
    values = validation_metrics(evaluation, more)
    assert set(values) == {f"val/{name}" for name in (*USUAL, *more[:-1])}
    metrics, gaps = (
        frame[frame["split"] == "val"] for frame in (evaluation.metrics, evaluation.gaps)
    )
    odds = gaps[(gaps["metric"] == "equalized_odds@fpr=0.2") & (gaps["attribute"] == "sex")]
    odds = odds[odds["definition"] == "gap_of_mean"]
    assert values["val/gap_equalized_odds@fpr=0.2_sex"] == odds["value"].item()
    worst = metrics[(metrics["metric"] == "worst_group_ece") & (metrics["attribute"] == "race")]
    assert values["val/worst_group_ece_race"] == worst["value"].item()
    overall = metrics[(metrics["attribute"] == "overall") & (metrics["pathology"] == "mean")]
    assert values["val/brier"] == overall[overall["metric"] == "brier"]["value"].item()
    objectives = [Objective(metric="val/brier", goal="minimize")]
    table = validation_table({"a": evaluation}, objectives)
    assert table["val/brier"].item() == values["val/brier"]
    assert "val/brier" not in validation_table({"a": evaluation})


def test_every_known_number_has_a_row_and_replicates(make_frame):
    def with_healthy(frame):
        return frame.rename(columns={"y_Edema": "y_No Finding", "p_Edema": "p_No Finding"})

    val, test = with_healthy(make_frame(split="val")), with_healthy(make_frame(seed=1))
    evaluation = evaluate([Predictions(val), Predictions(test.assign(split="test"))], SETTINGS)
    known = known_numbers(SETTINGS)
    for split in ("val", "test"):
        assert set(number_rows(evaluation, split)) == set(known)
        replicates = evaluation.replicates[evaluation.replicates["split"] == split]
        assert set(known) <= set(replicates["name"])
        stored = dict(zip(replicates["name"], replicates["value"], strict=True))
        for name, row in number_rows(evaluation, split).items():
            assert stored[name] == row["value"] or abs(stored[name] - row["value"]) < 1e-12
    for name, number in known.items():
        assert number_named(name) == number
