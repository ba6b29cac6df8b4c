"""How numbers and names are written for people: points, intervals, directions, titles, lists."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from analysis.results.numbers import POINTS, Number
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.tables import NO_P_VALUE, no_p_value

UNDEFINED = "undefined"
EXTREMES = (
    "A gap and the worst group are extremes, which noise exaggerates: the corrected value allows"
    " for it, and so does the interval."
)
MEAN = "mean over pathologies"
ABBREVIATIONS = ("auc", "auprc", "tpr", "fpr", "fnr", "ece")
"""Metrics that are written in capitals."""
TITLES = {
    "overall": "{metric}",
    "worst_group": "worst {attribute} group's {metric}",
    "gap_of_mean": "{attribute} {metric}gap",
    "mean_of_gaps": "{attribute} {metric}mean of gaps",
}
"""The words of a number by its kind; gaps of the AUC leave the metric out."""


# Values


def points(value: float | None) -> str:
    """A fraction in points with one decimal: 0.8141 -> `81.4`."""
    return UNDEFINED if value is None else f"{POINTS * value:.1f}".replace("-", "−")


def signed(value: float) -> str:
    """A difference in points with its sign: `+0.4`, `−1.2`."""
    text = f"{POINTS * value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def with_interval(number: Number) -> str:
    """Value and interval in points: `81.4 (80.9–81.9)`; says so where there is no interval."""
    value = points(number["value"])
    if number["value"] is None:
        return value
    if number["lo"] is None:
        return f"{value} (no interval)"
    to = "–" if number["lo"] >= 0 else " to "
    return f"{value} ({points(number['lo'])}{to}{points(number['hi'])})"


def signed_interval(number: Number | None) -> str:
    """A difference and its interval in points: `+0.6 (−0.2 to +1.5)`."""
    if number is None or number["value"] is None:
        return "–"
    if number["lo"] is None:
        return f"{signed(number['value'])} (no interval)"
    return f"{signed(number['value'])} ({signed(number['lo'])} to {signed(number['hi'])})"


def corrected(number: Number) -> str:
    """What an extreme is without the part that noise adds: `corrected 5.0`; empty if unknown."""
    value = number.get("bias_corrected")
    return "" if value is None else f"corrected {points(value)}"


def with_null(number: Number) -> str:
    """The corrected gap, what a fair model would show, and the p-value or why there is none, in
    points: `corrected 5.0; null 1.5, to 3.3; p 0.035`."""
    start = f"{text}; " if (text := corrected(number)) else ""
    if number["null_mean"] is None:
        return f"{start}no null"
    null = f"{points(number['null_mean'])}, to {points(number['null_hi'])}"
    p = f"p {p_value(number)}" if number["p_value"] is not None else why_no_p_value(number)
    return f"{start}null {null}; {p}"


def p_value(number: Number) -> str:
    """The p-value with three decimals."""
    return UNDEFINED if number["p_value"] is None else f"{number['p_value']:.3f}"


def why_no_p_value(number: Number) -> str:
    """Why a gap has no p-value: `no p-value: fewer than 20 patients with Edema in Black`."""
    return no_p_value(number["reason"]) or NO_P_VALUE


def above_null(number: Number) -> bool | None:
    """Whether a gap exceeds its null's upper bound; None where it has no p-value."""
    if number["value"] is None or number["p_value"] is None:
        return None
    return bool(number["value"] > number["null_hi"])


# Names


def title_of(name: str) -> str:
    """A number's name in words: `gap_race` -> `race gap`, `brier` -> `Brier score`."""
    number = number_named(name)
    metric = "" if number.is_gap and number.of_auc else metric_title(number.metric.name)
    gap_of = f"{metric} " if metric and number.is_gap else metric
    return TITLES[number.kind].format(attribute=number.attribute, metric=gap_of)


def metric_title(metric: str) -> str:
    """A metric's name in words: `auc` -> `AUC`, `tpr@fpr=0.2` -> `TPR at fpr=0.2`."""
    name, _, point = metric.partition("@")
    words = name.replace("_", " ")
    written = {"brier": "Brier score"}.get(name, words.upper() if name in ABBREVIATIONS else words)
    return f"{written} at {point}" if point else written


def definition_of(name: str) -> str:
    """The definition behind a number's name, as the methods text calls it."""
    number = number_named(name)
    if number.is_gap:
        return number.kind
    return MEAN if number.metric.only is None else str(number.metric.only)


def better(name: str) -> str:
    """Which direction is better: `lower is better`."""
    number = number_named(name)
    return _BETTER[number.goal].format(ideal=f"{POINTS * number.ideal:g}")


_BETTER = {
    "maximize": "higher is better",
    "minimize": "lower is better",
    "ideal": "nearest to {ideal} points is best",
}


def short_axis(axis: str) -> str:
    """The last part of a dotted axis: `data.sampling` -> `sampling`."""
    return axis.rsplit(".", 1)[-1]


AXES = {
    "weights.pretraining.corpora": "Images of the pre-training",
    "weights.pretraining": "Pre-training",
    "weights.pretraining.fraction": "Share of the pre-training images",
    "weights": "Initial weights",
    "data.sampling": "Sampling of training images",
    "include": "Configurations added by name",
}
"""Axes whose last part says too little, in words."""


def axis_title(axis: str) -> str:
    """An axis as a heading: `data.sampling` -> `Sampling of training images`."""
    short = short_axis(axis).replace("_", " ")
    return AXES.get(axis, short[:1].upper() + short[1:])


def quoted(name: object, longest: int = 40) -> str:
    """A name as its data spell it, in quotes, so that white space shows; the middle of a long one
    is left out."""
    text = repr(str(name))
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-(longest - 1 - half) :]}"


# Sentences and tables


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    head, tail = names[:-1], names[-1:]
    return f" {last} ".join([part for part in (", ".join(head), *tail) if part])


def counted(count: int, noun: str) -> str:
    """`1 trial`, `3 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def wrapped(text: str, width: int = 120, indent: str = "  ") -> list[str]:
    """A sentence in lines of at most `width` characters, all but the first indented."""
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, each as wide as its longest entry and flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
