"""An evaluation as text: every number with its split, protocol, definition, interval and null."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from analysis.wording import EXTREMES, UNDEFINED, aligned, counted, metric_title
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.tables import Evaluation

SHOWN_FOR_ALL = "gap_of_mean"
"""The definition shown for metrics other than the AUC; the files hold both."""
WORST = "worst_group_auc"


def short_table(evaluation: Evaluation, settings: EvaluationSettings) -> str:
    """The AUC of every group and its gaps; the other metrics of everybody and their gaps.

    Other metrics are shown for the last split only (test, if it is given); the files hold them for
    every split.
    """
    lines = list(_auc_lines(evaluation))
    evaluation = _last_split(evaluation)
    for name in dict.fromkeys(evaluation.metrics["metric"]):
        if name != "auc" and not name.startswith("worst_group_"):
            lines += _metric_lines(evaluation, name)
    odds = [name for name in dict.fromkeys(evaluation.gaps["metric"]) if "equalized" in name]
    lines += [_gap_line(row) for name in odds for row in _gaps(evaluation, name)]
    percent = f"{100 * settings.confidence:g} %"
    head = ["split", "protocol", "what", "value", f"{percent} interval", "note"]
    return "\n".join(
        [aligned([head, *lines]), *_effective_samples(evaluation.weights), _reading(settings)]
    )


def _last_split(evaluation: Evaluation) -> Evaluation:
    last = evaluation.metrics["split"].iloc[-1]
    metrics, gaps = (
        frame[frame["split"] == last] for frame in (evaluation.metrics, evaluation.gaps)
    )
    return replace(evaluation, metrics=metrics, gaps=gaps)


def _auc_lines(evaluation: Evaluation) -> Iterator[list[str]]:
    metrics = evaluation.metrics
    means = metrics[(metrics["pathology"] == "mean") & metrics["metric"].isin(("auc", WORST))]
    for _, row in means.iterrows():
        yield _metric_line(row)
    for _, row in evaluation.gaps[evaluation.gaps["metric"] == "auc"].iterrows():
        yield _gap_line(row)


def _metric_lines(evaluation: Evaluation, name: str) -> list[list[str]]:
    metrics = evaluation.metrics
    rows = metrics[(metrics["metric"] == name) & (metrics["attribute"] == "overall")]
    means = rows[rows["pathology"] == "mean"]
    shown = means if len(means) else rows  # a metric of one pathology has no mean
    lines = [_metric_line(row) for _, row in shown.iterrows()]
    return lines + [_gap_line(row) for row in _gaps(evaluation, name)]


def _gaps(evaluation: Evaluation, name: str) -> list[pd.Series]:
    gaps = evaluation.gaps
    wanted = gaps[(gaps["metric"] == name) & (gaps["definition"] == SHOWN_FOR_ALL)]
    return [row for _, row in wanted.iterrows()]


def _reading(settings: EvaluationSettings) -> str:
    percent = f"{100 * settings.confidence:g} %"
    drawn = f"{settings.replicates} draws of {settings.resampling}"
    if settings.intervals == "delong":
        drawn = f"DeLong's covariance by {settings.resampling}, {settings.replicates} normal draws"
    return (
        f"Values are fractions. Intervals: {drawn}. Null: what a"
        f" fair model would show in the same draws, mean and {percent} bound. {EXTREMES}"
        " Every number is defined in docs/metrics.md."
    )


def _effective_samples(weights: pd.DataFrame) -> list[str]:
    """For each protocol that weights images, the smallest effective sample of each split."""
    shown = weights[(weights["protocol"] != "full") & weights["ess"].notna()]
    lines = []
    for (protocol, split), rows in shown.groupby(["protocol", "split"], sort=False):
        row = rows.sort_values("ess").iloc[0]
        where = f"{row['pathology']}, {_group(row)}"
        lines.append(
            f"{protocol}, {split}: smallest effective sample {row['ess']:.0f} of"
            f" {counted(row['unique_images'], 'image')} ({where}); see weights.parquet"
        )
    return lines


def _metric_line(row: pd.Series) -> list[str]:
    where = _group(row)
    name = f"mean {metric_title(row['metric'])}"
    if row["pathology"] != "mean":
        name = f"{metric_title(row['metric'])} of {row['pathology']}"
    if row["metric"] == WORST:
        name = "worst-group mean AUC"
        where = where if pd.notna(row["group"]) else str(row["attribute"])
    count = _counts(row) if pd.notna(row["n"]) else ""
    notes = _notes(count, _corrected(row), row["reason"])
    return [*_start(row), f"{name}, {where}", *_number(row), notes]


def _gap_line(row: pd.Series) -> list[str]:
    of = "" if row["metric"] == "auc" else f"{metric_title(row['metric'])} "
    what = f"{row['attribute']} {of}gap ({row['definition']})"
    null = ""
    if pd.notna(row["null_mean"]):
        p = f", p {row['p_value']:.3f}" if pd.notna(row["p_value"]) else ""
        null = f"null {row['null_mean']:.4f} (to {row['null_hi']:.4f}){p}"
    order = f"{row['worst_group']} to {row['best_group']}" if pd.notna(row["worst_group"]) else ""
    return [*_start(row), what, *_number(row), _notes(order, null, _corrected(row), row["reason"])]


def _group(row: pd.Series) -> str:
    return "all images" if row["attribute"] == "overall" else f"{row['attribute']}={row['group']}"


def _counts(row: pd.Series) -> str:
    return f"{counted(row['n'], 'image')}, {counted(row['n_patients'], 'patient')}"


def _corrected(row: pd.Series) -> str:
    """The corrected value of an extreme; empty for any other number."""
    corrected = row["bias_corrected"]
    return "" if pd.isna(corrected) else f"bias-corrected {corrected:.4f}"


def _start(row: pd.Series) -> list[str]:
    return [str(row["split"]), str(row["protocol"])]


def _number(row: pd.Series) -> list[str]:
    value = f"{row['value']:.4f}" if pd.notna(row["value"]) else UNDEFINED
    interval = f"[{row['lo']:.4f}, {row['hi']:.4f}]" if pd.notna(row["lo"]) else "none"
    return [value, interval]


def _notes(*notes: str | None) -> str:
    return "; ".join(str(note) for note in notes if pd.notna(note) and note)
