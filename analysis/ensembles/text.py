"""A search over ensembles as text: chosen on validation, shown on test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.evaluation.fitting import fitted_rows
from analysis.results.numbers import Number, is_gap
from analysis.wording import (
    EXTREMES,
    definition_of,
    points,
    quoted,
    signed,
    with_interval,
    with_null,
    wrapped,
)
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.ensembles.report import Reported
from fairfm_core.evaluation.ensembles.subset_search import SubsetSearch
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.summary import summary_rows

NONE = "none"


def search_text(
    search: SubsetSearch, front: Sequence[Reported], best: Reported, settings: EvaluationSettings
) -> str:
    """The ensembles of the front and their numbers, then those of the best single member."""
    named = [(str(number), each) for number, each in enumerate(front, start=1)]
    members = [[number, " + ".join(each.members)] for number, each in named]
    members.append(["best", f"{best.members[0]} (the single member with the highest AUC on val)"])
    head = [
        "#",
        "what",
        "val",
        "test (interval)",
        "val - test",
        "corrected; null; p",
        "worst, best",
    ]
    lines = [line for number, each in [*named, ("best", best)] for line in _lines(number, each)]
    count = f"{len(search.bits_M):,} ensembles of {len(search.names)} members"
    return "\n".join(
        [
            f"front: {len(front)} of {count}, mean {search.combine}, chosen on val",
            *fitted_rows([["#", "members"], *members], (1,)),
            "",
            *fitted_rows([head, *lines], (1, 6)),
            *wrapped(_reading(settings), indent=""),
        ]
    )


def _lines(number: str, each: Reported) -> Iterator[list[str]]:
    shown = summary_rows(each.evaluation, "test")
    for name, value in each.val.items():
        optimism = signed(each.optimism[name]) if name in each.optimism else NONE
        test = shown.get(name)
        result = NONE if test is None else with_interval(test)
        yield [number, _what(name), points(value), result, optimism, *_notes(name, test)]


def _what(name: str) -> str:
    """`AUC, all images`, `race gap (gap_of_mean)`."""
    if not is_gap(name):
        return "AUC, all images"
    return f"{number_named(name).attribute} gap ({definition_of(name)})"


def _notes(name: str, number: Number | None) -> tuple[str, str]:
    """What a gap would be without noise and by chance, and its groups; or why it is undefined."""
    if number is None:
        return "no test split given", ""
    if number["value"] is None:
        return str(number["reason"])[:40], ""
    if not is_gap(name):
        return "", ""
    order = (
        ""
        if number["worst_group"] is None
        else (f"{quoted(number['worst_group'])}, {quoted(number['best_group'])}")
    )
    return with_null(number), order


def _reading(settings: EvaluationSettings) -> str:
    percent = f"{100 * settings.confidence:g} %"
    return (
        "In points (1 point = 0.01), protocol full: every labelled image counts once. AUCs are"
        " means over pathologies; gap_of_mean is the largest minus the smallest of the groups'"
        " means. Chosen on val: no other ensemble is at least as good in AUC and every gap and"
        " better in one. Only the front and the best member were evaluated on test. Where val -"
        " test is above 0 for an AUC, or below 0 for a gap, the validation value was optimistic."
        f" Intervals: {percent}, {settings.replicates} draws of {settings.resampling}; they do not"
        " account for the choice. Null: what a fair model would show in the same draws, mean and"
        f" {percent} bound. {EXTREMES}"
    )
