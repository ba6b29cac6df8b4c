"""The paper's figures: what is drawn against the stored tables, options, notes, bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from analysis.commands.paper import figures
from analysis.figures.best_and_worst import spread_apart
from analysis.figures.made import FigureOptions, MadeFigure
from analysis.figures.outputs import write_figures
from analysis.figures.registry import FIGURES
from analysis.paper.answers import PaperAnswers, PaperRequest
from analysis.paper.items import SIX
from analysis.paper.outputs import open_answers
from analysis.paper.published import published
from fairfm_core.artifacts import open_store
from fairfm_core.config.named_records import imported
from fairfm_core.errors import BadInput
from fairfm_core.storage.layout import claim_results

from ..paper.paper_folder import all_models, trial_frames, write_study

Make = Callable[..., MadeFigure]


@pytest.fixture(scope="module")
def answers(paper_results: Path) -> PaperAnswers:
    return open_answers(str(paper_results), PaperRequest())


@pytest.fixture(scope="module")
def make(answers: PaperAnswers) -> Make:
    """Makes a figure by its name."""

    def made(name: str, **options: object) -> MadeFigure:
        figure: MadeFigure = imported(FIGURES[name].work)(answers, FigureOptions(**options))
        return figure

    return made


def test_bars_are_the_models_of_the_cells(make: Make) -> None:
    data = make("figure1").data.set_index(["row", "arm", "number"])
    assert data.loc[("masked", "medical", "auc"), "model"] == "mae_med"
    assert data.loc[("contrastive", "natural", "auc"), "model"] == "mocov3"
    both = [data.loc[(cluster, "scratch", "auc"), "value"] for cluster in ("masked", "contrastive")]
    assert both[0] == both[1]
    printed = published("table6", "MAE", "fine-tuned", "race")
    assert printed is not None
    inferred = data[data["inferred"] == True]  # noqa: E712
    assert set(inferred.index.get_level_values("arm")) == {"natural"}
    assert data.loc[("masked", "natural", "gap_race"), "published"] == printed.value


def test_the_fairness_score_is_equation_1(make: Make) -> None:
    made = make("figure1", score="fs")
    for number in ("gap_sex", "gap_race"):
        own = made.data[made.data["number"] == number]
        constant = own["value"].max() + 0.01
        np.testing.assert_allclose(own["fairness_score"], constant - own["value"], atol=1e-12)
        assert own["fairness_score"].min() == pytest.approx(0.01, abs=1e-12)
        assert any(f"{100 * constant:.1f}" in note for note in made.notes if "C = largest" in note)


def test_balanced_minus_standard_is_paired(make: Make) -> None:
    made = make("figure2")
    data = made.data
    models = data[data["item"] == "figure2"].set_index(["row", "arm", "number"])["value"]
    standard = make("figure1").data.set_index(["row", "arm", "number"])["value"]
    changes = data[data["item"] == "balanced − standard"].set_index(["row", "arm", "number"])
    assert len(changes) == 3 * 5
    for key, row in changes.iterrows():
        assert row["difference"] == pytest.approx(models[key] - standard[key], abs=1e-12)
        assert row["p_holm"] >= row["p_value"]
    assert any("not comparable with those of Figure 1" in note for note in made.notes)


@pytest.mark.parametrize("name", ["figure3", "figure5", "figure6"])
def test_changes_are_those_of_a_plain_computation(make: Make, name: str) -> None:
    from sklearn.metrics import roc_auc_score

    data = make(name).data
    assert list(data["model"].unique()) == list(SIX)
    labels = {"MAE (M)": "mae_med", "BiT": "bit"}
    for row in data[data["model"].isin(labels)].to_dict("records"):
        changes = []
        for seed in (0, 1):
            frame = trial_frames(labels[row["model"]], seed)["test"]
            group = frame[frame[row["attribute"]] == row["group"]]
            names = [row["pathology"]]
            if names == ["mean"]:
                names = [column[2:] for column in frame if column.startswith("y_")]
            each = [
                [roc_auc_score(f[f"y_{n}"], f[f"p_{n}"].astype(np.float32)) for n in names]
                for f in (group, frame)
            ]
            changes.append(np.mean(each[0]) - np.mean(each[1]))
        assert row["value"] == pytest.approx(np.mean(changes), abs=1e-12)


def test_figures_5_and_6_are_by_sex_and_by_race(make: Make) -> None:
    assert set(make("figure5").data["group"]) == {"F", "M"}
    assert set(make("figure6").data["group"]) == {"Asian", "Black", "White"}
    assert list(make("figure6").data["pathology"].unique()) == ["Edema", "Pleural Effusion"]


def test_groups_without_any_mark_say_why(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.figures.subgroups.FEWEST", 10**6)
    (first, _) = make("figure6").draw().axes
    assert [text.get_text() for text in first.texts] == ["n too small"] * 3


@given(st.lists(st.floats(-100, 100), max_size=8), st.floats(0.01, 10))
def test_numbers_are_spread_in_order_and_around_their_places(
    places: list[float], least: float
) -> None:
    moved = spread_apart(places, least)
    order = np.argsort(places, kind="stable")
    assert (np.diff(np.array(moved)[order]) >= least * (1 - 1e-9)).all()
    assert np.mean(moved or [0]) == pytest.approx(np.mean(places or [0]), abs=1e-6)
    if (np.diff(np.array(places)[order]) >= least).all():
        assert moved == pytest.approx(places)


def test_cells_that_are_too_small_are_left_out(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.figures.subgroups.FEWEST", 28)
    made = make("figure6")
    small = made.data[made.data["n_positive"] < 28]
    assert 0 < len(small) < len(made.data)
    assert not small["shown"].any()
    assert set(small["reason"]) == {"n too small"}
    assert any("n too small" in note for note in made.notes)


@pytest.mark.slow
def test_the_same_bytes_twice_in_every_form(paper_results: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        options = FigureOptions(relative=True)
        only = ["figure5"]
        list(write_figures(str(paper_results), only, PaperRequest(), options, tmp_path / folder))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [f"figure5.{form}" for form in ("csv", "pdf", "png", "svg")]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a/figure5.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(tmp_path / "a/figure5.csv")) == 6 * 2 * 2


def other_results(folder: Path, of: Path, models: dict) -> str:
    """The artifacts of a folder with another study."""
    store = open_store(str(folder))
    claim_results(store)
    for kind in ("adapt", "evaluate"):
        shutil.copytree(of / kind, folder / kind)
    write_study(store, models)
    return str(folder)


def test_models_that_were_not_run_are_named(tmp_path: Path, paper_results: Path) -> None:
    models = {label: all_models()[label] for label in ("mae", "scratch")}
    folder = other_results(tmp_path / "results", paper_results, models)
    answers = open_answers(folder, PaperRequest())
    made = imported(FIGURES["figure1"].work)(answers, FigureOptions())
    (line,) = [note for note in made.notes if note.startswith("Not run")]
    assert "masked medical" in line
    assert "fairfm sweep run sweeps/studies/paper_figure1.yaml" in line
    marked = made._settled("demo data")
    assert "demo data" in [text.get_text() for text in marked.texts]
    three = imported(FIGURES["figure3"].work)(answers, FigureOptions())
    assert any(note.startswith("Not run: MAE (M), MoCov3") for note in three.notes)


def test_a_figure_without_any_model_is_passed_over_or_refused(
    tmp_path: Path, paper_results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_paper = {name: FIGURES[name] for name in ("figure1", "figure3", "figure4")}
    monkeypatch.setattr("analysis.figures.outputs.FIGURES", of_paper)
    models = {"cx14": all_models()["cx14"]}
    folder = other_results(tmp_path / "results", paper_results, models)
    command = [folder, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(figures, command)
    assert done.exit_code == 0
    assert "none of the models of figure4 was run; run fairfm sweep run" in done.output
    refused = CliRunner().invoke(figures, [*command, "--only", "figure4"])
    assert isinstance(refused.exception, BadInput)
    wrong = CliRunner().invoke(figures, [*command, "--only", "figure7"])
    assert "figure 'figure7' is not known" in str(wrong.exception)


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "results"))
    claim_results(store)
    write_study(store, all_models())
    ran = CliRunner().invoke(figures, [str(tmp_path / "results"), "--out", str(tmp_path / "out")])
    assert isinstance(ran.exception, BadInput)
    assert "has no finished trial, so there is nothing to draw" in str(ran.exception)
    assert ran.output == ""
    assert not (tmp_path / "out").exists()
