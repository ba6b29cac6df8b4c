"""Two studies side by side: one front over the configurations of both, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.front.certainty import front_certainty
from analysis.front.configuration_names import names_of
from analysis.front.front import Front, configuration_front
from analysis.front.palette import styles
from analysis.front.study_analysis import StudyAnalysis, analyse_study
from analysis.report.front_block import ShownFront, front_values
from analysis.report.page import report_facts
from analysis.report.templates import environment
from analysis.results.replicates import StudyNumbers
from analysis.results.results import Configuration
from analysis.wording import counted, listed
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.tables import Evaluation

TEMPLATE = "comparison.html.j2"
AXIS = "study"
"""The axis that says which study a configuration is of; the first, so it gives colours."""


@dataclass(frozen=True, eq=False)
class JoinedStudies:
    """The configurations of two studies as those of one."""

    sides: tuple[StudyAnalysis, StudyAnalysis]
    objectives: tuple[Objective, ...]
    """What both studies ask for."""
    settings: EvaluationSettings
    """Those of the first study, with the attributes and protocols that both have; the numbers are
    of the first of these protocols."""
    configurations: tuple[Configuration, ...]
    evaluations: Mapping[str, Evaluation]
    numbers: StudyNumbers
    front: Front


def write_comparison(location: str, studies: Sequence[str], out: str | Path | None = None) -> str:
    """Write the page that compares two studies of a results folder; returns its path or URI.

    It goes to the folder `out`, else beside the first study. Raises BadInput for a study that is
    compared with itself, and for two without a shared
    objective or protocol.
    """
    first, second = studies
    if first == second:
        raise BadInput(f"study {first} would be compared with itself: give two studies")
    joined = join_studies(analyse_study(location, first), analyse_study(location, second))
    page = comparison_html(joined)
    return joined.sides[0].write(page.encode(), f"compared-with-{second}.html", out)


def join_studies(first: StudyAnalysis, second: StudyAnalysis) -> JoinedStudies:
    """One front over the configurations of both, in the objectives that both have."""
    sides = (first, second)
    objectives, settings = _shared_objectives(sides), _shared_settings(sides)
    configurations = tuple(each for side in sides for each in _configurations(side))
    evaluations = {
        _group(side, group): evaluation.under(*settings.protocols)
        for side in sides
        for group, evaluation in side.evaluations.items()
    }
    numbers = _joined_numbers(sides, settings)
    axes = (AXIS, *dict.fromkeys(axis for side in sides for axis in side.results.axes))
    certainty = front_certainty(numbers, objectives, settings)
    front = configuration_front(configurations, evaluations, objectives, axes, certainty)
    front = replace(front, words=_words(sides, configurations))
    return JoinedStudies(sides, objectives, settings, configurations, evaluations, numbers, front)


def _shared_objectives(sides: Sequence[StudyAnalysis]) -> tuple[Objective, ...]:
    first, second = (side.results.objectives for side in sides)
    shared = tuple(each for each in first if each in second)
    if not shared:
        asked = " and ".join(
            f"{side.results.study} for {listed([each.metric for each in of])}"
            for side, of in zip(sides, (first, second), strict=True)
        )
        raise BadInput(f"the studies share no objective: {asked}; compare studies that share one")
    return shared


def _shared_settings(sides: Sequence[StudyAnalysis]) -> EvaluationSettings:
    """Those of the first study with what both have; raises BadInput without a shared protocol.

    Numbers under two protocols are of two test sets, which no front may mix.
    """
    first, second = (side.results.settings for side in sides)
    shared = {
        name: tuple(each for each in getattr(first, name) if each in getattr(second, name))
        for name in ("attributes", "protocols")
    }
    if not shared["protocols"]:
        names = [side.results.study for side in sides]
        raise BadInput(
            f"the studies share no protocol: {names[0]} has {listed(first.protocols)}, {names[1]}"
            f" {listed(second.protocols)}, so their numbers stand on no common front; read the"
            " report of each with --study, or add a protocol to evaluation.protocols and run it"
            " again, which repeats no training"
        )
    return first.model_copy(update=shared)


def _group(side: StudyAnalysis, group: str) -> str:
    """A configuration's identity within both: the same one may be in both studies."""
    return f"{side.results.study}/{group}"


def _configurations(side: StudyAnalysis) -> list[Configuration]:
    study = side.results.study
    return [
        replace(
            each,
            group=_group(side, each.group),
            label=f"{study}/{each.label}",
            axes={AXIS: study, **each.axes},
        )
        for each in side.results.configurations
    ]


def _words(
    sides: Sequence[StudyAnalysis], configurations: Sequence[Configuration]
) -> dict[str, str]:
    configs = {trial.name: trial.config for side in sides for trial in side.results.stored.trials}
    return names_of([(each, configs[each.trials[0].name]) for each in configurations])


def _joined_numbers(sides: Sequence[StudyAnalysis], settings: EvaluationSettings) -> StudyNumbers:
    """The replicates of both; differences are paired where both have the same draws of patients."""
    reason = next((side.numbers.reason for side in sides if side.numbers.reason), None)
    by_group = {
        _group(side, group): numbers
        for side in sides
        for group, numbers in side.numbers.by_group.items()
    }
    lenders = frozenset(_group(side, group) for side in sides for group in side.numbers.lenders)
    return StudyNumbers(
        by_group, settings.protocols[0], settings.confidence, reason, lenders=lenders
    )


def comparison_html(joined: JoinedStudies) -> str:
    """The page as text; every name in it is escaped."""
    front = joined.front
    look = styles(front.rows, front.axes)
    shown = ShownFront(front, joined.evaluations, joined.numbers, joined.settings, look)
    names = [side.results.study for side in joined.sides]
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            **front_values(shown),
            studies=names,
            asked=[(s.results.study, str(s.results.record.get("claim", ""))) for s in joined.sides],
            shares=_shares(joined),
            volumes=[
                (f"{s.results.study} (protocol {s.results.settings.protocols[0]})", volume)
                for s, volume in ((side, side.front.hypervolume) for side in joined.sides)
            ],
            differences=differences_of(joined),
            facts=_facts(joined),
            looks=_looks(joined, look),
        )
    )


def _looks(joined: JoinedStudies, look: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """A mark in the colour of each study."""
    first = {row[AXIS]: look[row["label"]] for row in reversed(joined.front.rows)}
    return [(side.results.study, first[side.results.study]) for side in joined.sides]


def _shares(joined: JoinedStudies) -> str:
    """`3 of the front are of A, 1 of B.`, and how many configurations are in both."""
    members = joined.front.members
    studies = [side.results.study for side in joined.sides]
    of = [(study, sum(row[AXIS] == study for row in members)) for study in studies]
    text = f"Of the front of both, {listed([f'{n} are of {study}' for study, n in of])}."
    first, second = ({c.group for c in side.results.configurations} for side in joined.sides)
    both = len(first & second)
    if both:
        text += f" {counted(both, 'configuration')} of both studies are the same work, done once."
    return text


def differences_of(joined: JoinedStudies) -> list[str]:
    """What differs between the studies, and what is kept out of the front, one sentence each."""
    first, second = (side.results for side in joined.sides)
    sentences = []
    data = [{trial.digest for trial in each.trials} for each in (first, second)]
    if data[0] != data[1]:
        sentences.append(
            "The studies use different data: levels are not comparable, no step has an interval."
        )
    used = joined.settings.protocols[0]
    elsewhere = [each.study for each in (first, second) if each.settings.protocols[0] != used]
    if elsewhere:
        sentences.append(
            f"All numbers are under protocol {used}, the first that both have; the report and the"
            f" front of {listed(elsewhere)} alone are under another one."
        )
    held = [each.settings.model_dump() for each in (first, second)]
    for name in held[0]:
        if held[0][name] != held[1][name]:
            values = [_text(each[name]) for each in held]
            sentences.append(
                f"evaluation.{name}: {values[0]} in {first.study}, {values[1]} in {second.study}."
            )
    for side in (first, second):
        others = [each.metric for each in side.objectives if each not in joined.objectives]
        if others:
            sentences.append(f"Objectives of {side.study} alone: {listed(others)}; not used here.")
    front = joined.front
    kept = [f"{front.named(row['label'])}: {row['reason']}." for row in front.kept_out]
    return [*sentences, *(f"Kept out of the front: {sentence}" for sentence in kept)]


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _facts(joined: JoinedStudies) -> list[tuple[str, str, str]]:
    """What identifies the numbers of each study, side by side."""
    first, second = (report_facts(side.results) for side in joined.sides)
    return [(name, first.get(name, "–"), second.get(name, "–")) for name in {**first, **second}]
