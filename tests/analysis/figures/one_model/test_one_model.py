"""Figures of one model: every number against scikit-learn or a plain formula, choices, notes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

from analysis.figures.made import FigureOptions, MadeFigure
from analysis.figures.one_model.chosen import chosen_model, study_models
from analysis.figures.outputs import write_figures
from analysis.figures.registry import FIGURES
from analysis.paper.answers import PaperAnswers, PaperRequest
from analysis.paper.outputs import open_answers
from fairfm_core.config.named_records import imported
from fairfm_core.errors import BadInput

from ...paper.paper_folder import PATHOLOGIES, trial_frames

Make = Callable[..., MadeFigure]
TRIAL = "mae_med.s0"
OF_ONE = ("forest", "heat_map", "calibration", "roc", "decision", "densities")


@pytest.fixture(scope="module")
def answers(paper_results: Path) -> PaperAnswers:
    return open_answers(str(paper_results), PaperRequest())


@pytest.fixture(scope="module")
def make(answers: PaperAnswers) -> Make:
    """Makes a figure by its name, once for each set of options."""
    made: dict[tuple[object, ...], MadeFigure] = {}

    def once(name: str, trial: str | None = TRIAL, **options: object) -> MadeFigure:
        key = name, trial, *options.items()
        if key not in made:
            chosen = FigureOptions(trial=trial, **options)  # type: ignore[arg-type]
            made[key] = imported(FIGURES[name].work)(answers, chosen)
        return made[key]

    return once


def scores_of(row: dict[str, object], trial: str = TRIAL) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of a cell, of the trial that the figures show."""
    label, _, seed = trial.rpartition(".s")
    frame = trial_frames(label, int(seed))["test"]
    own = frame[frame[row["attribute"]] == row["group"]]
    return (
        own[f"y_{row['pathology']}"].to_numpy(),
        own[f"p_{row['pathology']}"].to_numpy(np.float32).astype(np.float64),
    )


def cells(data: pd.DataFrame) -> list[tuple[dict[str, object], pd.DataFrame]]:
    """Rows of each cell."""
    keys = ["pathology", "attribute", "group"]
    return [
        (dict(zip(keys, key, strict=True)), rows) for key, rows in data.groupby(keys, sort=False)
    ]


def test_forest_and_heat_map_are_differences_of_sklearns_aucs(make: Make) -> None:
    data = make("forest").data
    assert list(data["pathology"].unique()) == [*PATHOLOGIES, "mean"]
    for row in data[data["pathology"] != "mean"].to_dict("records"):
        own = roc_auc_score(*scores_of(row))
        everybody = trial_frames("mae_med", 0)["test"]
        scores = everybody[f"p_{row['pathology']}"].astype(np.float32)
        whole = roc_auc_score(everybody[f"y_{row['pathology']}"], scores)
        assert row["value"] == pytest.approx(own - whole, abs=1e-12)
        assert row["auc"] == pytest.approx(own, abs=1e-12)
        assert row["n_positive"] == scores_of(row)[0].sum()
    heat = make("heat_map").data
    pd.testing.assert_frame_equal(heat.drop(columns="distinguished"), data)
    assert (heat["distinguished"] == (heat["p_value"] <= 0.05)).all()
    black = heat.set_index(["group", "pathology"])["distinguished"]
    assert black["Black", "mean"]
    assert not black["F", "mean"]


def test_the_null_band_holds_what_a_p_value_says(make: Make) -> None:
    """Outside the band there are few draws as large, inside many."""
    data = make("forest").data.dropna(subset="p_value")
    outside = data["value"].abs() > data["null"]
    assert outside.any()
    assert not outside.all()
    assert (data["p_value"][outside] <= 0.15).all()
    assert (data["p_value"][~outside] >= 0.05).all()


@pytest.mark.slow
def test_forest_and_stored_differences_are_the_same(make: Make, answers: PaperAnswers) -> None:
    """What is evaluated for a figure is what the study has evaluated: same draws, same numbers."""
    made = make("forest", trial="mae_med").data
    (models,) = study_models(answers)
    group = chosen_model(answers, "mae_med").source.trials[0].group
    stored = models.evaluations[group].differences
    wanted = (stored["split"] == "test") & (stored["protocol"] == "full")
    wanted &= (stored["reference"] == "overall") & (stored["metric"] == "auc")
    keys = ["attribute", "group", "pathology"]
    columns = ["value", "lo", "hi", "p_value"]
    ours = made.set_index(keys)[columns].astype(float)
    theirs = stored[wanted].set_index(keys)[columns].astype(float)
    pd.testing.assert_frame_equal(ours.sort_index(), theirs.sort_index(), rtol=0, atol=1e-12)


def test_best_and_worst_are_extremes_of_groups_mean_aucs(make: Make) -> None:
    data = make("best_and_worst").data
    assert set(data["attribute"]) == {"sex", "race"}
    assert data.loc[data["chosen"], "label"].unique().tolist() == ["mae_med"]
    for row in data[data["label"].isin(["mae_med", "bit"])].to_dict("records"):
        known = {"sex": ("F", "M"), "race": ("Asian", "Black", "White")}[row["attribute"]]
        seeds = []
        for trial in (f"{row['label']}.s0", f"{row['label']}.s1"):
            named = [{"attribute": row["attribute"], "group": group} for group in known]
            means = [
                np.mean(
                    [roc_auc_score(*scores_of(c | {"pathology": p}, trial)) for p in PATHOLOGIES]
                )
                for c in named
            ]
            seeds.append((max(means), min(means)))
        best, worst = np.mean(seeds, axis=0)
        assert row["best_auc"] == pytest.approx(best, abs=1e-12)
        assert row["worst_auc"] == pytest.approx(worst, abs=1e-12)
        assert row["worst_group"] in known
        assert row["gap"] == pytest.approx(row["best_auc"] - row["worst_auc"], abs=1e-12)


def test_calibration_is_sklearns(make: Make) -> None:
    for cell, rows in cells(make("calibration").data):
        bins = rows[rows["kind"] == "bin"]
        labels, scores = scores_of(cell)
        observed, predicted = calibration_curve(labels, scores, n_bins=15)
        np.testing.assert_allclose(bins["observed"], observed, atol=1e-12)
        np.testing.assert_allclose(bins["predicted"], predicted, atol=1e-12)
        assert bins["images"].sum() == len(labels)
        assert (bins["shown"] == (bins["images"] >= 10)).all()
        rug = rows.loc[rows["kind"] == "rug", "predicted"]
        assert set(rug) <= set(scores)
        assert rug.is_monotonic_increasing


def test_roc_is_sklearns_with_the_threshold_of_validation(make: Make) -> None:
    validation = trial_frames("mae_med", 0)["val"]
    for cell, rows in cells(make("roc").data):
        labels, scores = scores_of(cell)
        fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
        curve = rows[rows["kind"] == "curve"]
        highest = [tpr[fpr <= x + 1e-12].max() for x in curve["fpr"]]
        np.testing.assert_allclose(curve["tpr"], highest, atol=1e-12)
        name = cell["pathology"]
        known = validation[f"y_{name}"], validation[f"p_{name}"].astype(np.float32)
        on_val, _, thresholds = roc_curve(*known, drop_intermediate=False)
        threshold = thresholds[on_val <= 0.2][-1]
        (point,) = rows[rows["kind"] == "operating point"].to_dict("records")
        assert point["tpr"] == pytest.approx((scores[labels == 1] >= threshold).mean(), abs=1e-12)
        assert point["fpr"] == pytest.approx((scores[labels == 0] >= threshold).mean(), abs=1e-12)
        assert point["tpr_lo"] <= point["tpr"] <= point["tpr_hi"]


def test_net_benefit_is_the_formula(make: Make) -> None:
    for cell, rows in cells(make("decision").data):
        labels, scores = scores_of(cell)
        for row in rows.iloc[::7].to_dict("records"):
            t = row["threshold"]
            called = scores >= t
            worth = (labels * called).sum() - ((1 - labels) * called).sum() * t / (1 - t)
            assert row["net_benefit"] == pytest.approx(worth / len(labels), abs=1e-12)
            q = labels.mean()
            assert row["everybody"] == pytest.approx(q - (1 - q) * t / (1 - t), abs=1e-10)
            assert np.isnan(row["lo"]) or row["lo"] < row["hi"]


def test_densities_are_numpys(make: Make) -> None:
    for cell, rows in cells(make("densities").data):
        labels, scores = scores_of(cell)
        for name, value in (("positive", 1), ("negative", 0)):
            own = rows[rows["label"] == name]
            edges = [*own["from"], 1.0]
            expected, _ = np.histogram(scores[labels == value], edges, density=True)
            np.testing.assert_allclose(own["density"], expected, atol=1e-12)
    points = make("densities").data
    points = points[points["label"] == "operating point"]
    assert (points.groupby("pathology")["from"].nunique() == 1).all()


def test_gap_and_patients_finds_planted_gaps_with_enough_patients(make: Make) -> None:
    made = make("gap_and_patients")
    race = made.data[made.data["attribute"] == "race"].set_index("patients")
    assert list(race.index) == [14, 28, 55, 110, 220, 440, 880]
    assert race["of_the_split"].tolist() == [size == 110 for size in race.index]
    assert race.loc[880, "found"] == 1.0
    assert race.loc[880, "null_hi"] < race.loc[110, "null_hi"] < race.loc[880, "gap_lo"] * 3
    assert any("80 % of studies find a race gap like this one" in note for note in made.notes)
    shown = race[race["shown"]]
    assert (shown["undefined"] <= 0.2).all()
    assert made.draw().axes[1].get_title(loc="left") == "race"


def test_without_a_name_it_is_the_most_accurate_of_the_front(
    make: Make, answers: PaperAnswers
) -> None:
    (models,) = study_models(answers)
    best = max(models.front.members, key=lambda row: row["val_auc"])
    made = make("forest", trial=None)
    assert set(made.data["model"]) == {best["label"]}
    assert any("most accurate on the front, by validation AUC" in note for note in made.notes)
    assert any("(2 seeds)" in note for note in made.notes)
    assert any("as chosen with --trial" in note for note in make("forest").notes)


def test_cells_that_are_too_small_say_so(
    answers: PaperAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.figures.one_model.chosen.FEWEST", 28)
    for name in OF_ONE:
        made = imported(FIGURES[name].work)(answers, FigureOptions(trial=TRIAL))
        few = made.data[made.data["reason"] == "n too small"]
        assert not few["shown"].any()
        assert set(few["attribute"]) == {"race"} or name == "calibration"
        assert any(note.startswith("n too small: fewer than 28") for note in made.notes)
    texts = [text.get_text() for axes in made.draw().axes for text in axes.get_legend().texts]
    assert any("n too small" in text for text in texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trial": "mae_med.s7"}, "no trial or configuration 'mae_med.s7' (did you mean"),
        ({"trial": TRIAL, "pathologies": ("Edma",)}, "pathology 'Edma' is not known"),
    ],
)
def test_bad_names_are_refused(answers: PaperAnswers, options: dict, message: str) -> None:
    with pytest.raises(BadInput) as error:
        imported(FIGURES["forest"].work)(answers, FigureOptions(**options))
    assert message in str(error.value)


def test_pathologies_are_chosen_by_name(make: Make) -> None:
    made = make("roc", pathologies=("Edema",))
    assert set(made.data["pathology"]) == {"Edema"}
    assert any("1 of 2 pathologies; choose others" in note for note in made.notes)


@pytest.mark.slow
def test_the_same_bytes_twice(paper_results: Path, tmp_path: Path) -> None:
    options = FigureOptions(trial=TRIAL, pathologies=("Edema",))
    for folder in ("a", "b"):
        to = tmp_path / folder
        list(write_figures(str(paper_results), ["calibration"], PaperRequest(), options, to))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [f"calibration.{form}" for form in ("csv", "pdf", "png", "svg")]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
