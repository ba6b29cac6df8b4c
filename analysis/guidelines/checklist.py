"""A checklist filled from a study's files: what they say, where, and what the author must say.

It never says that an item is fulfilled: that is for the author and the reviewers to judge.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from csv import writer
from dataclasses import dataclass
from pathlib import Path

from analysis.cohort.study_cohort import study_cohorts
from analysis.front.study_analysis import StudyAnalysis, analyse_study
from analysis.guidelines.records import GUIDELINES, Guideline, GuidelineItem
from analysis.paper.markdown import escaped
from analysis.study_facts.facts import StudyFact, fact
from analysis.study_facts.limits import Evidence
from analysis.wording import wrapped
from fairfm_core.config.named_records import imported, known_name

FACTS_AND_YOU, YOU_ALONE = "facts, and you", "you"
NOT_JUDGED = (
    "fairfm fills in what the study's files say; it does not judge whether an item is fulfilled."
    " The items are in our own words: read the guideline itself, and compare the item numbers with"
    " the published checklist, before you submit."
)


@dataclass(frozen=True)
class FilledItem:
    """An item with what the files say."""

    section: str
    item: GuidelineItem
    facts: tuple[StudyFact, ...]

    @property
    def who(self) -> str:
        """Who has to say it."""
        return FACTS_AND_YOU if self.facts else YOU_ALONE

    @property
    def said(self) -> str:
        """What the files say."""
        return " ".join(dict.fromkeys(each.text for each in self.facts))

    @property
    def where(self) -> str:
        """Where fairfm shows it."""
        return "; ".join(dict.fromkeys(each.where for each in self.facts))


def guideline_named(name: str) -> Guideline:
    """A guideline by its name; raises BadInput for an unknown one."""
    guideline: Guideline = imported(GUIDELINES[known_name(name, GUIDELINES, "checklist")])
    return guideline


def filled(guideline: Guideline, evidence: Evidence) -> tuple[FilledItem, ...]:
    """Every item, in order."""
    names = dict.fromkeys(n for s in guideline.sections for i in s.items for n in i.facts.split())
    known = {name: fact(name, evidence) for name in names}
    return tuple(
        FilledItem(section.title, item, tuple(f for n in item.facts.split() if (f := known[n])))
        for section in guideline.sections
        for item in section.items
    )


def evidence_of(analysis: StudyAnalysis) -> Evidence:
    """What a study's files say, from its analysis."""
    cohorts = study_cohorts(analysis.results)
    return Evidence(analysis.results, analysis.evaluations, analysis.front, cohorts)


def write_checklist(
    location: str, study: str | None, name: str, out: str | Path | None = None
) -> Iterator[str]:
    """Write a checklist as Markdown and csv; yields it as text, and the paths of its files.

    Raises BadInput for an unknown checklist, and as `analyse_study`.
    """
    guideline = guideline_named(name)
    analysis = analyse_study(location, study)
    items = filled(guideline, evidence_of(analysis))
    yield "\n".join(_lines(guideline, items))
    files = {"md": _markdown(guideline, items, analysis.results.study), "csv": _csv(items)}
    for form, text in files.items():
        yield f"wrote {analysis.write(text.encode(), f'checklist-{name}.{form}', out)}"


def _summary(items: tuple[FilledItem, ...]) -> str:
    some = sum(bool(item.facts) for item in items)
    return (
        f"Of {len(items)} items and parts the files say something about {some}; about the other"
        f" {len(items) - some} you alone can."
    )


def _lines(guideline: Guideline, items: tuple[FilledItem, ...]) -> Iterator[str]:
    """For a terminal: an item a paragraph."""
    yield f"{guideline.title}: {guideline.citation}"
    yield from wrapped(NOT_JUDGED)
    yield _summary(items)
    section = ""
    for each in items:
        if each.section != section:
            section = each.section
            yield f"\n{section}"
        yield from wrapped(f"{each.item.number:>4}  {each.item.asked}", indent=" " * 6)
        if each.facts:
            yield from wrapped(f"      files: {each.said} [{each.where}]", indent=" " * 8)
        yield from wrapped(f"      you must say: {each.item.author}", indent=" " * 8)


def _markdown(guideline: Guideline, items: tuple[FilledItem, ...], study: str) -> str:
    head = "| item | asked, in our words | the study's files say | shown in | you must say |"
    lines = [
        f"# {guideline.title}: study {study}",
        "",
        f"{guideline.citation}. For {guideline.about}.",
        "",
        NOT_JUDGED,
        "",
        _summary(items),
    ]
    for section in guideline.sections:
        lines += ["", f"## {section.title}", "", head, "|---|---|---|---|---|"]
        for each in (item for item in items if item.section == section.title):
            cells = (each.item.number, each.item.asked, each.said, each.where, each.item.author)
            lines.append("| " + " | ".join(escaped(cell) for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _csv(items: tuple[FilledItem, ...]) -> str:
    text = io.StringIO()
    rows = writer(text, lineterminator="\n")
    rows.writerow(["item", "section", "asked", "who", "files_say", "shown_in", "you_must_say"])
    for each in items:
        own = (each.item.number, each.section, each.item.asked, each.who)
        rows.writerow([*own, each.said, each.where, each.item.author])
    return text.getvalue()
