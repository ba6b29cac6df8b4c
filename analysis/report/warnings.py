"""What a reader must know before trusting a study's numbers, one sentence per warning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.front.front import Front
from analysis.front.rows import number_of
from analysis.results.numbers import is_gap, undefined_cells
from analysis.results.results import Configuration, StudyResults
from analysis.wording import above_null, counted, listed, title_of, with_interval, with_null
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.errors import first_ten
from fairfm_core.evaluation.tables import Evaluation

MOST_LISTED = 100
"""Sentences of one kind."""


@dataclass(frozen=True)
class WarningKind:
    """One kind of warning and the sentences of that kind."""

    title: str
    sentences: tuple[str, ...]


def warnings_found(
    results: StudyResults, evaluations: Mapping[str, Evaluation], front: Front
) -> list[WarningKind]:
    """Failed trials, missing seeds, unequal terms, undefined AUCs, and gaps within their null.

    What the numbers cannot say stands in `study_facts/limits.py`.
    """
    kinds = {
        "Failed and unfinished trials": _trials(results),
        "Configurations with missing seeds": _seeds(results.configurations, front),
        "Differences that no axis names": _unequal(results),
        "Configurations kept out of the front": [
            f"{front.named(row['label'])}: {row['reason']}." for row in front.kept_out
        ],
        "Undefined AUCs": _cells(results.configurations, evaluations, front),
        "Configurations evaluated with different labels": _labels(results.configurations),
        "Front members whose gap lies within its null": _noise(front),
    }
    return [WarningKind(title, _few(sentences)) for title, sentences in kinds.items() if sentences]


def _few(sentences: Sequence[str]) -> tuple[str, ...]:
    """The sentences, or the first of many with the number of the rest."""
    rest = len(sentences) - MOST_LISTED
    more = [f"{rest:,} more of this kind."] if rest > 0 else []
    return (*sentences[:MOST_LISTED], *more)


def _unequal(results: StudyResults) -> list[str]:
    """What the plan warned of: differences that would be attributed to something else."""
    told = [f"{line}." for line in results.stored.comparison.warnings]
    return told + [line for each in results.configurations if (line := _hardware(each, results))]


def _hardware(configuration: Configuration, results: StudyResults) -> str:
    """Seeds of one configuration that were trained on different devices or in other precisions."""
    trained = (results.trained_on(trial) for trial in configuration.finished)
    kinds = {f"{on['device']} in {on['precision']}" for on in trained if on}
    if len(kinds) < 2:
        return ""
    return f"{configuration.label}: its seeds were trained on {listed(sorted(kinds))}."


def _trials(results: StudyResults) -> list[str]:
    return [
        f"{trial.name} {'was left out' if trial.damaged else 'failed'}: {trial.failure}."
        if trial.failure
        else f"{trial.name} was not finished."
        for trial in results.unfinished
    ]


def _labels(configurations: Sequence[Configuration]) -> list[str]:
    """Label policies decide the labels of the test set too."""
    policies = {trial.labels for each in configurations for trial in each.trials}
    if len(policies) < 2:
        return []
    return [
        f"Trials differ in data.labels ({listed(sorted(policies))}), which also decides "
        "uncertain validation and test labels: their AUCs cannot be compared."
    ]


def _seeds(configurations: Sequence[Configuration], front: Front) -> list[str]:
    return [
        f"{front.named(each.label)} is based on {counted(len(each.finished), 'seed')}; missing: "
        f"{listed([str(seed) for seed in each.missing_seeds])}."
        for each in configurations
        if each.finished and each.missing_seeds
    ]


def _cells(
    configurations: Sequence[Configuration], evaluations: Mapping[str, Evaluation], front: Front
) -> list[str]:
    """One sentence for each undefined cell, naming up to ten configurations that share it."""
    cells: dict[str, list[str]] = {}
    for each in configurations:
        for split in EVALUATION_SPLITS if each.group in evaluations else ():
            for row in undefined_cells(evaluations[each.group], split):
                where = f"{row['pathology']}, {row['attribute']} {row['group']}, {split}"
                cells.setdefault(f"{where}: {row['reason']}", []).append(front.named(each.label))
    return [f"{cell} ({first_ten(names)})." for cell, names in cells.items()]


def _noise(front: Front) -> list[str]:
    sentences = []
    for row in front.members:
        for name in filter(is_gap, front.names):
            number = number_of(row, "test", name)
            if above_null(number) is False:
                what = f"test {title_of(name)} {with_interval(number)}"
                sentences.append(f"{front.named(row['label'])}: {what}; {with_null(number)}.")
    return sentences
