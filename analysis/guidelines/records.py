"""A reporting guideline as records: each item by its official number, asked in our own words."""

from __future__ import annotations

from dataclasses import dataclass

YOU = "All of it."
"""What an author says of an item about which the files know nothing."""


@dataclass(frozen=True)
class GuidelineItem:
    """One item of a checklist."""

    number: str
    """The official number."""
    asked: str
    """What it asks for, in our words; the wording of the guideline is what counts."""
    facts: str = ""
    """Names of facts that may answer part of it, separated by spaces."""
    author: str = YOU
    """What the files cannot say, which the author must."""


@dataclass(frozen=True)
class GuidelineSection:
    """A section of a checklist."""

    title: str
    items: tuple[GuidelineItem, ...]


@dataclass(frozen=True)
class Guideline:
    """A checklist and where it was published."""

    title: str
    citation: str
    about: str
    """For which studies it is made."""
    sections: tuple[GuidelineSection, ...]


GUIDELINES = {
    "tripod-ai": "analysis.guidelines.tripod_ai:TRIPOD_AI",
    "claim": "analysis.guidelines.claim:CLAIM",
    "stard-ai": "analysis.guidelines.stard_ai:STARD_AI",
}
"""Where each checklist is, by the name that `--checklist` takes."""
