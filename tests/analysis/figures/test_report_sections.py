"""Figures as sections of a report: one for each name, an unknown one refused with what is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.figures.made import FigureOptions
from fairfm_core.errors import BadInput
from sweeps.found.figure_sections import figure_sections


def test_a_figure_is_a_section_with_its_notes(results_folder: Path) -> None:
    (section,) = figure_sections(str(results_folder), None, ["cohort_flow"], FigureOptions())
    assert section.anchor == "figure-cohort_flow"
    assert section.title == "Images and patients from the source's table to the groups"
    assert section.paragraphs
    assert b"<svg" in section.pictures[0].svg


def test_no_name_opens_nothing_and_an_unknown_one_is_refused() -> None:
    assert figure_sections("nowhere", None, [], FigureOptions()) == ()
    with pytest.raises(BadInput, match=r"(?i)figure.*multivers"):
        figure_sections("nowhere", None, ["multivers"], FigureOptions())
