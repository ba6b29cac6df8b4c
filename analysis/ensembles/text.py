"""A search over ensembles as text: chosen on validation, shown on test."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from analysis.results.numbers import Number, is_gap
from analysis.wording import EXTREMES, UNDEFINED, aligned, definition_of
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
    percent = f"{100 * settings.confidence:g} %"
    head = ["#", "protocol", "what", "val", "test", f"{percent} interval, test", "val - test"]
    lines = [line for number, each in [*named, ("best", best)] for line in _lines(number, each)]
    count = f"{len(search.bits_M):,} ensembles of {len(search.names)} members"
    return "\n".join(
        [
            f"front: {len(front)} of {count}, mean {search.combine}, chosen on val",
            aligned([["#", "members"], *members]),
            "",
            aligned([[*head, "note, test"], *lines]),
            *textwrap.wrap(_reading(settings), 100, break_on_hyphens=False),
        ]
    )


def _lines(number: str, each: Reported) -> Iterator[list[str]]:
    shown, protocol = summary_rows(each.evaluation, "test"), str(each.evaluation.protocol)
    for name, value in each.val.items():
        optimism = f"{each.optimism[name]:+.4f}" if name in each.optimism else NONE
        test = shown.get(name)
        yield [
            *(number, protocol, _what(name), f"{value:.4f}"),
            *(*_value(test), optimism, _note(name, test)),
        ]


def _what(name: str) -> str:
    """`mean AUC, all images`, `race gap (gap_of_mean)`."""
    if not is_gap(name):
        return "mean AUC, all images"
    return f"{number_named(name).attribute} gap ({definition_of(name)})"


def _value(number: Number | None) -> tuple[str, str]:
    if number is None:
        return NONE, NONE
    value = UNDEFINED if number["value"] is None else f"{number['value']:.4f}"
    interval = f"[{number['lo']:.4f}, {number['hi']:.4f}]" if number["lo"] is not None else NONE
    return value, interval


def _note(name: str, number: Number | None) -> str:
    if number is None:
        return "no test split given"
    notes = []
    if is_gap(name) and number["worst_group"] is not None:
        notes.append(f"{number['worst_group']} to {number['best_group']}")
    if is_gap(name) and number["null_mean"] is not None:
        null = f"null {number['null_mean']:.4f} (to {number['null_hi']:.4f})"
        p = "" if number["p_value"] is None else f", p {number['p_value']:.3f}"
        notes.append(f"{null}{p}")
    if number["bias_corrected"] is not None:
        notes.append(f"bias-corrected {number['bias_corrected']:.4f}")
    return "; ".join([*notes, *([number["reason"]] if number["reason"] else [])])


def _reading(settings: EvaluationSettings) -> str:
    percent = f"{100 * settings.confidence:g} %"
    return (
        "Values are fractions under the protocol full: every labelled image counts once. AUCs are"
        " means over pathologies; gap_of_mean is the largest minus the smallest of the groups'"
        " means. Chosen on val: no other ensemble is at least as good in AUC and every gap and"
        " better in one. Only the front and the best member were evaluated on test. Where val -"
        " test is above 0 for an AUC, or below 0 for a gap, the validation value was optimistic."
        f" Intervals: {percent}, {settings.replicates} draws of {settings.resampling}; they do not"
        " account for the choice. Null: what a fair model would show in the same draws, mean and"
        f" {percent} bound. {EXTREMES}"
    )
