"""The multiverse: specifications against plain computations, agreement, label policies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_curve, roc_auc_score

from analysis.figures.made import FigureOptions, MadeFigure
from analysis.figures.multiverse.curve import agreement, multiverse
from analysis.paper.answers import PaperAnswers, PaperRequest
from analysis.paper.contrasts import NumberAsked, paired
from analysis.paper.items import fine_tuned
from analysis.paper.outputs import open_answers
from fairfm_core.data.cohort import write_cohort
from fairfm_core.errors import BadInput

from ...paper.paper_folder import PATHOLOGIES, trial_frames

PAIR = FigureOptions(trial="mae_med", against="bit")
RACES = ("Asian", "Black", "White")


@pytest.fixture(scope="module")
def answers(paper_results: Path) -> PaperAnswers:
    return open_answers(str(paper_results), PaperRequest())


@pytest.fixture(scope="module")
def made(answers: PaperAnswers) -> MadeFigure:
    return multiverse(answers, PAIR)


def specification(data: pd.DataFrame, *wanted: str) -> dict:
    names = ["attribute", "protocol", "definition", "threshold"]
    return data.set_index(names).loc[wanted].to_dict()


def gap(label: str, seed: int) -> float:
    """The race gap of the mean AUC."""
    frame = trial_frames(label, seed)["test"]
    groups = [frame[frame["race"] == race] for race in RACES]
    aucs = [
        np.mean([roc_auc_score(g[f"y_{p}"], g[f"p_{p}"].astype("float32")) for p in PATHOLOGIES])
        for g in groups
    ]
    return max(aucs) - min(aucs)


def odds(label: str, seed: int) -> float:
    """The race gap in equalised odds at the largest F1 of validation, mean over pathologies."""
    frames = trial_frames(label, seed)
    gaps = []
    for name in PATHOLOGIES:
        val, score = frames["val"], frames["val"][f"p_{name}"].astype("float32")
        precision, recall, thresholds = precision_recall_curve(val[f"y_{name}"], score)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        best = thresholds[np.flatnonzero(f1[:-1] == f1[:-1].max())[-1]]
        test = frames["test"]
        called = test[f"p_{name}"].astype("float32") >= best
        rates = [
            [called[(test["race"] == race) & (test[f"y_{name}"] == y)].mean() for race in RACES]
            for y in (0, 1)
        ]
        gaps.append(max(max(each) - min(each) for each in rates))
    return float(np.mean(gaps))


def test_specifications_are_those_of_plain_computations(made: MadeFigure) -> None:
    row = specification(made.data, "race", "full", "gap_of_mean", "none")
    expected = [gap("mae_med", s) - gap("bit", s) for s in (0, 1)]
    assert row["difference"] == pytest.approx(np.mean(expected), abs=1e-12)
    row = specification(made.data, "race", "full", "mean_of_gaps", "f1")
    expected = [odds("mae_med", s) - odds("bit", s) for s in (0, 1)]
    assert row["difference"] == pytest.approx(np.mean(expected), abs=1e-12)


def test_intervals_are_those_of_the_paired_comparison(
    made: MadeFigure, answers: PaperAnswers
) -> None:
    models = [answers.answer(fine_tuned(name)) for name in ("MAE (M)", "BiT")]
    test = paired(*models, NumberAsked(answers.protocol, "test", "gap_race", 0.95))  # type: ignore[arg-type]
    row = specification(made.data, "race", "full", "gap_of_mean", "none")
    for name in ("difference", "lo", "hi", "p_value"):
        assert row[name] == pytest.approx(test[name], abs=1e-12)


def test_every_choice_is_crossed_with_every_other(made: MadeFigure) -> None:
    counts = made.data.groupby(["attribute", "protocol"]).size()
    assert set(counts.index.get_level_values("protocol")) == {"full", "balanced", "resample"}
    assert (counts == 2 * 4).all()
    assert any("Left out: protocol glocker" in note for note in made.notes)
    assert any("race: the first model is fairer in" in note for note in made.notes)
    curve, choices = made.draw().axes[0], made.draw().axes[2]
    assert len(curve.get_lines()) == 1 + 2 * 24
    assert len(choices.get_yticklabels()) == 3 + 2 + 4 + 1


def test_agreement_counts_signs_and_clear_intervals() -> None:
    rows = [
        {"attribute": "sex", "difference": d, "lo": lo, "hi": hi}
        for d, lo, hi in ((-0.1, -0.2, -0.01), (-0.1, -0.2, 0.1), (0.1, 0.01, 0.2), (None,) * 3)
    ]
    assert agreement(rows) == (
        "sex: the first model is fairer in 2 of 3 specifications (1 with an interval clear of 0),"
        " the other in 1 (1); 1 undefined, reasons in the csv."
    )


def uncertain_cohort(folder: Path) -> pd.DataFrame:
    """The cohort of the predictions, in which every fifth negative of Edema is uncertain."""
    frame = pd.concat(trial_frames("bit", 0).values(), ignore_index=True)
    frame = frame.drop(columns=[f"p_{name}" for name in PATHOLOGIES]).assign(row=range(len(frame)))
    doubt = (frame["y_Edema"] == 0) & (frame["row"] % 5 == 0)
    frame["u_Edema"] = doubt.astype(float)
    frame["y_Edema"] = frame["y_Edema"].mask(doubt)
    write_cohort(frame.assign(age=50.0), folder / "cohort.parquet")
    return frame


def test_label_policies_are_those_of_the_cohort(
    answers: PaperAnswers, made: MadeFigure, tmp_path: Path
) -> None:
    frame = uncertain_cohort(tmp_path)
    data = multiverse(answers, FigureOptions(trial="mae_med", against="bit", data=str(tmp_path)))
    by_policy = dict(list(data.data.groupby("labels", sort=False)))
    assert list(by_policy) == ["u_zeros", "u_ones", "u_ignore"]
    zeros = by_policy["u_zeros"]["difference"].to_numpy()
    np.testing.assert_allclose(zeros, made.data["difference"], atol=1e-12)
    assert (by_policy["u_ones"]["difference"].to_numpy() != zeros).any()
    write_cohort(frame.assign(age=50.0, y_Edema=1 - frame["y_Edema"]), tmp_path / "cohort.parquet")
    with pytest.raises(BadInput, match="has other labels of Edema than the predictions"):
        multiverse(answers, FigureOptions(trial="mae_med", against="bit", data=str(tmp_path)))


def test_a_model_is_not_compared_with_itself(answers: PaperAnswers) -> None:
    with pytest.raises(BadInput, match="mae_med would be compared with itself"):
        multiverse(answers, FigureOptions(trial="mae_med", against="mae_med"))
