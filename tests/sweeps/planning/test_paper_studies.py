"""The studies of the paper answer every cell of its tables and figures, each by one model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from analysis.paper.facts import ModelFacts, facts_of
from analysis.paper.items import BAR_FIGURES, SIX, TABLES, PaperItem, WantedModel, fine_tuned
from analysis.paper.published import NUMBERS
from fairfm_core.config.resolving import SCRATCH
from fairfm_core.config.trial import Trial
from sweeps.planning.expansion import expand
from sweeps.planning.study import read_study

STUDIES = Path(__file__).parents[3] / "sweeps" / "studies"
ITEMS = {name: item for name, item in (TABLES | BAR_FIGURES).items() if name != "table3"}


def facts_in(names: Iterable[str]) -> dict[str, tuple[ModelFacts, str]]:
    """The facts of every trial of some studies, with what identifies the model, by name."""
    found = {}
    for name in names:
        for each in expand(read_study(STUDIES / f"{name}.yaml")):
            if each.trial.seed == 0:
                found[f"{name}/{each.name}"] = facts_of(config_of(each.trial)), repr(each.trial)
    return found


def config_of(trial: Trial) -> dict[str, object]:
    """What a study's record holds of a trial."""
    config = trial.without_places().model_dump(mode="json")
    if trial.weights is None and trial.pretraining is None:
        config["weights"] = SCRATCH
    return config


@pytest.fixture(scope="module", params=["", "_small"], ids=["whole", "small"])
def facts(request: pytest.FixtureRequest) -> dict[str, tuple[ModelFacts, str]]:
    return facts_in(f"paper_{item}{request.param}" for item in ITEMS)


def models(wanted: object, facts: dict[str, tuple[ModelFacts, str]]) -> set[str]:
    """Distinct models that answer a cell."""
    assert isinstance(wanted, WantedModel)
    own = (f.epochs for f, _ in facts.values() if (f.method, f.domain) == ("masked", "medical"))
    longest = max(epochs for epochs in own if epochs is not None)
    return {model for f, model in facts.values() if wanted.is_met_by(f, longest)}


@pytest.mark.parametrize("item", ITEMS.values(), ids=list(ITEMS))
def test_every_cell_is_answered_by_one_model(
    item: PaperItem, facts: dict[str, tuple[ModelFacts, str]]
) -> None:
    for cell in item.cells:
        assert len(models(cell.wanted, facts)) == 1, cell.key


def test_the_six_models_of_table_3_are_those_of_figures_1_and_4(
    facts: dict[str, tuple[ModelFacts, str]],
) -> None:
    found = [models(fine_tuned(name), facts) for name in SIX]
    assert all(len(each) == 1 for each in found)
    assert len(set.union(*found)) == len(SIX)


@pytest.mark.parametrize("item", [name for name in ITEMS if name.startswith("table")])
def test_the_header_of_a_study_holds_the_published_numbers(item: str) -> None:
    header = (STUDIES / f"paper_{item}.yaml").read_text().split("study:")[0]
    printed = re.findall(r"\b\d{1,2}\.\d{1,2}\b", header.split("# Shared:")[0])
    assert sorted(printed) == sorted(each.text for each in NUMBERS if each.item == item)
