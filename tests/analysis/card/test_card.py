"""Model cards: the numbers of the stored tables, the model that was asked for, nothing made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.card.card import SPLIT, YOURS, card_model, model_card
from analysis.card.outputs import card_markdown, write_card
from analysis.front.study_analysis import StudyAnalysis, analyse_study
from fairfm_core.errors import BadInput


@pytest.fixture(scope="module")
def analysis(results_folder: Path) -> StudyAnalysis:
    return analyse_study(str(results_folder))


def test_the_front_s_most_accurate_is_described(analysis: StudyAnalysis) -> None:
    model = card_model(analysis, None)
    assert model.label == analysis.front.members[0]["label"]
    card = model_card(analysis, model)
    assert card["model"]["seeds"] == ["0", "1"]
    assert set(card["author"].values()) == {YOURS}
    metrics = analysis.evaluations[model.trials[0].group].metrics
    own = metrics[(metrics["split"] == SPLIT) & (metrics["pathology"] == "mean")]
    black = own[(own["group"] == "Black") & (own["metric"] == "auc")].iloc[0]
    (shown,) = (
        row
        for row in card["evaluation"]["by_group"]
        if (row["group"], row["metric"]) == ("Black", "auc")
    )
    assert [shown["value"], shown["lo"], shown["hi"]] == [black["value"], black["lo"], black["hi"]]
    assert shown["n_patients"] == black["n_patients"]
    assert card["limits"]["Few training runs"]
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_a_trial_is_described_alone(analysis: StudyAnalysis) -> None:
    model = card_model(analysis, "cnn.tune.s0")
    card = model_card(analysis, model)
    assert card["model"]["seeds"] == ["0"]
    assert list(card["model"]["trainings"]) == ["cnn.tune.s0"]
    assert "worst" not in json.dumps(card["evaluation"]["by_group"])


def test_the_page_shows_points_and_says_why_numbers_are_missing(analysis: StudyAnalysis) -> None:
    page = card_markdown(model_card(analysis, card_model(analysis, "cnn.probe")))
    assert "# Model card: Cnn.probe" in page or "# Model card: " in page
    assert "### race: means over pathologies" in page
    assert "- **intended use**: *to be written by the author*" in page
    assert "<script>" not in page


def test_it_is_written(results_folder: Path, tmp_path: Path) -> None:
    paths = list(write_card(str(results_folder), None, "vit.probe", tmp_path))
    assert [Path(path).name for path in paths] == ["card.md", "card.json"]
    assert json.loads((tmp_path / "card.json").read_text())["model"]["label"] == "vit.probe"


@pytest.mark.parametrize(
    ("name", "message"),
    [("vit.prob", "did you mean 'vit.probe'"), ("cnn.tune.s1", "is not finished")],
)
def test_what_cannot_be_described_is_refused(
    analysis: StudyAnalysis, name: str, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        card_model(analysis, name)
