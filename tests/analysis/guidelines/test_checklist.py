"""Checklists: official numbers, facts that exist, what the files say, and no word of fulfilment."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from analysis.front.study_analysis import analyse_study
from analysis.guidelines.checklist import (
    YOU_ALONE,
    evidence_of,
    filled,
    guideline_named,
    write_checklist,
)
from analysis.guidelines.records import GUIDELINES
from analysis.study_facts.facts import FACTS
from analysis.study_facts.limits import Evidence
from fairfm_core.errors import BadInput

PARTS = {
    "tripod-ai": {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3},
    "claim": {},
    "stard-ai": {15: 4, 16: 3, 17: 2, 26: 2, 40: 2},
}
"""Parts of the official items that have any."""
LAST = {"tripod-ai": 27, "claim": 44, "stard-ai": 40}


@pytest.fixture(scope="module")
def evidence(results_folder: Path) -> Evidence:
    return evidence_of(analyse_study(str(results_folder)))


@pytest.mark.parametrize("name", GUIDELINES)
def test_items_have_the_official_numbers_and_facts_that_exist(name: str) -> None:
    guideline = guideline_named(name)
    items = [item for section in guideline.sections for item in section.items]
    expected = []
    for number in range(1, LAST[name] + 1):
        parts = PARTS[name].get(number, 0)
        expected += [f"{number}{'abcdefg'[part]}" for part in range(parts)] or [str(number)]
    assert [item.number for item in items] == expected
    assert {fact for item in items for fact in item.facts.split()} <= FACTS.keys()
    assert all(item.asked and item.author for item in items)
    assert "doi" in guideline.citation


@pytest.mark.parametrize("name", GUIDELINES)
def test_an_item_without_facts_is_the_author_s_alone(name: str, evidence: Evidence) -> None:
    for each in filled(guideline_named(name), evidence):
        assert (each.who == YOU_ALONE) == (not each.said)
        assert not re.search(r"fulfil|complies|compliant|satisf", each.said + each.item.author)


def test_what_the_files_do_not_hold_is_not_said(evidence: Evidence) -> None:
    """The tiny study is of an earlier version, and its trials have no configuration."""
    items = {each.item.number: each for each in filled(guideline_named("claim"), evidence)}
    assert items["22"].said.startswith("Presence of each of 2 labels")
    assert items["24"].who == YOU_ALONE
    assert items["9"].who == YOU_ALONE
    assert "from 30 draws of patients" in items["29"].said
    assert "AUC (mean over pathologies) on test" in items["37"].said


def test_it_is_written_as_text_markdown_and_csv(results_folder: Path, tmp_path: Path) -> None:
    text, *wrote = write_checklist(str(results_folder), None, "stard-ai", tmp_path)
    assert "does not judge" in text
    assert "Of 48 items and parts the files say something about" in text
    assert len(wrote) == 2
    page = (tmp_path / "checklist-stard-ai.md").read_text()
    assert "| 15c |" in page
    assert "<script>" not in page
    rows = list(csv.DictReader((tmp_path / "checklist-stard-ai.csv").read_text().splitlines()))
    assert len(rows) == 48
    assert {row["who"] for row in rows} == {"facts, and you", YOU_ALONE}


def test_an_unknown_checklist_is_refused() -> None:
    with pytest.raises(BadInput, match="did you mean 'claim'"):
        guideline_named("clam")
