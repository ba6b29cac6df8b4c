"""What a search learns of a configuration: validation means over its seeds, with their variances.

Only validation rows are read: a search may see no test number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.replicates import Replicated, replicated
from fairfm_core.evaluation.selection.spread import own_spread
from fairfm_core.evaluation.summary import validation_metrics
from fairfm_core.evaluation.tables import Evaluation
from sweeps.search.history import Told

SPLIT = "val"
Numbers = Mapping[str, Replicated]
"""A configuration's validation numbers with their replicates, by metric (`val/auc`)."""
ReadEvaluation = Callable[[str], Evaluation]
"""Reads the evaluation with a fingerprint."""


def told_values(
    evaluations: Sequence[str],
    seeds: Sequence[int],
    metrics: Sequence[str],
    read: ReadEvaluation,
) -> Told:
    """The values of a configuration whose evaluations are stored, one for each seed."""
    tables = [read(fingerprint) for fingerprint in evaluations]
    names = [metric.removeprefix(f"{SPLIT}/") for metric in metrics]
    by_seed = [validation_metrics(table, names) for table in tables]
    values = {metric: _mean([each.get(metric) for each in by_seed]) for metric in metrics}
    numbers = _numbers(tables, metrics)
    variances = {metric: variance(numbers[metric]) for metric in metrics if metric in numbers}
    return Told(tuple(seeds), values, variances, tuple(evaluations))


class NumberReader:
    """Reads validation numbers; what was read once is kept, without the tables it came from."""

    def __init__(self, metrics: Sequence[str], read: ReadEvaluation) -> None:
        self._metrics = metrics
        self._read = read
        self._kept: dict[str, Numbers] = {}

    def __call__(self, evaluations: Sequence[str]) -> Numbers:
        """The metrics of a configuration in every draw of patients; those that have such."""
        for fingerprint in evaluations:
            if fingerprint not in self._kept:
                self._kept[fingerprint] = _numbers([self._read(fingerprint)], self._metrics)
        seeds = [self._kept[fingerprint] for fingerprint in evaluations]
        shared = [metric for metric in seeds[0] if all(metric in seed for seed in seeds)]
        return {metric: _joined([seed[metric] for seed in seeds]) for metric in shared}


def _joined(seeds: Sequence[Replicated]) -> Replicated:
    """One number of several seeds; they drew the same patients, as their settings are the same."""
    return replace(
        seeds[0],
        value_S=np.concatenate([seed.value_S for seed in seeds]),
        replicate_BS=np.concatenate([seed.replicate_BS for seed in seeds], axis=1),
        null_RS=None,
    )


def variance(number: Replicated) -> float | None:
    """The variance of a mean over seeds: sampling of patients, and training where several seeds
    show it; None without replicates."""
    replicate_B = number.replicate_BS.mean(axis=1)
    replicate_B = replicate_B[np.isfinite(replicate_B)]
    if len(replicate_B) < 2:
        return None
    found, spread = float(replicate_B.var(ddof=1)), own_spread(number)
    if spread is not None:
        found += max(0.0, spread.variance - spread.of_patients) / len(number.value_S)
    return found


def _numbers(tables: Sequence[Evaluation], metrics: Sequence[str]) -> dict[str, Replicated]:
    names = [metric.removeprefix(f"{SPLIT}/") for metric in metrics]
    try:
        by_key = replicated(tables, "a configuration", names=names)
    except BadInput:  # without replicates, or of seeds that cannot be paired
        return {}
    protocol = tables[0].protocol
    keys = {m: (protocol, SPLIT, name) for m, name in zip(metrics, names, strict=True)}
    return {
        metric: by_key[key]
        for metric, key in keys.items()
        if key in by_key and by_key[key].replicate_BS.size
    }


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(defined)) if values and len(defined) == len(values) else None
