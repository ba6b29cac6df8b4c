import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.selection.objectives import validation_keys
from fairfm_core.evaluation.selection.selection import validation_table
from fairfm_core.evaluation.summary import final_metrics, validation_metrics

SETTINGS = EvaluationSettings(replicates=20, permutations=20)


def _evaluation(make_frame, spoil=lambda frame: frame):
    val, test = make_frame(split="val"), spoil(make_frame(split="test", seed=1))
    return evaluate([Predictions(val), Predictions(test)], SETTINGS)


def test_flat_keys(make_frame):
    flat = final_metrics(_evaluation(make_frame))
    numbers = [key.removeprefix("val/") for key in validation_keys(("sex", "race"))]
    wanted = {f"{split}/{name}" for split in ("val", "test") for name in numbers}
    wanted |= {f"test_ci/{name}_{end}" for name in numbers for end in ("lo", "hi")}
    assert set(flat) == wanted | {"quality/undefined_auc"}
    assert all(key.count("/") == 1 for key in flat)
    assert all(type(value) is float for value in flat.values())
    assert flat["test_ci/auc_lo"] < flat["test/auc"] < flat["test_ci/auc_hi"]
    assert flat["quality/undefined_auc"] == 0


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
    assert set(values) == set(validation_keys(("sex", "race")))
    changed = _evaluation(make_frame, lambda frame: frame.assign(p_Edema=0.5, race="White"))
    assert validation_metrics(changed) == values
    only_test = evaluation.metrics[evaluation.metrics["split"] == "test"]
    assert isinstance(only_test, pd.DataFrame)
    assert validation_metrics(type(evaluation)(only_test, evaluation.gaps.head(0))) == {}
