"""Which trials of a configuration are independent training runs, and which share a pre-training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fairfm_core.evaluation.resampling.training_runs import TrainingRuns

MOST_NAMED = 3
"""Configurations that are named; further ones are counted."""
NOT_COVERED = "its spread is not in the intervals"


class Trained(Protocol):
    """A trial: the fingerprint of its pre-training, if any, and of its adaptation."""

    @property
    def pretraining(self) -> str | None:
        """None for random or published weights."""
        ...

    @property
    def adapt(self) -> str:
        """The trial's identity."""
        ...


def training_names(trials: Sequence[Trained], both_levels: bool) -> list[str] | None:
    """The name of each trial's independent training; None where their spread is not measured.

    It is the pre-training where the trials start from several, else the trial itself: with
    published weights the adaptation alone is repeated, from scratch the whole training. None where
    the study lists adaptation seeds alone, or for a single training.
    """
    if not both_levels or len(trials) < 2:
        return None
    names = [trial.pretraining or trial.adapt for trial in trials]
    return names if len(set(names)) > 1 else [trial.adapt for trial in trials]


def training_runs_of(trials: Sequence[Trained], both_levels: bool) -> TrainingRuns | None:
    """The independent training runs of `training_names`."""
    names = training_names(trials, both_levels)
    return None if names is None else TrainingRuns.of(names)


@dataclass(frozen=True)
class StartingPoint:
    """Where a trial of a configuration starts from."""

    label: str
    """The configuration's."""
    pretraining: str | None
    """Fingerprint of its pre-training; None for random or published weights."""
    published: bool = False


def shared_pretrainings(starts: Iterable[StartingPoint]) -> list[str]:
    """What shares one pre-training, whose spread no interval can cover: a line for those of the
    study, and one for published weights."""
    before: dict[str, set[str]] = {}
    published: dict[str, None] = {}
    for start in starts:
        if start.pretraining is not None:
            before.setdefault(start.label, set()).add(start.pretraining)
        elif start.published:
            published[start.label] = None
    alone = [label for label, found in before.items() if len(found) == 1]
    lines = []
    if alone:
        lines.append(f"{_some(alone)}: all seeds share one pre-training: {NOT_COVERED}")
    if published:
        lines.append(
            f"{_some(list(published))}: published weights are one pre-training: {NOT_COVERED}"
        )
    return lines


def _some(labels: Sequence[str]) -> str:
    rest = len(labels) - MOST_NAMED
    return ", ".join(labels[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
