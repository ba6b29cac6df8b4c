"""What is saved by running each distinct stage once, against one pipeline for each trial or row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fairfm_core.stages import PRETRAIN, PRETRAINS, TRUNK, Stage
from sweeps.planning.corpora import recipe_of
from sweeps.status.status import StudyStatus
from sweeps.timing.operations import GPU, gpu_hours


@dataclass(frozen=True)
class WorkAmount:
    """An amount of work."""

    passes: float
    """Images that pass through a network."""
    hours: float
    """GPU-hours by operations."""

    def __add__(self, other: WorkAmount) -> WorkAmount:
        return WorkAmount(self.passes + other.passes, self.hours + other.hours)

    def __sub__(self, other: WorkAmount) -> WorkAmount:
        return self + other.times(-1)

    def times(self, count: int) -> WorkAmount:
        """The amount so many times."""
        return WorkAmount(count * self.passes, count * self.hours)

    def over(self, other: WorkAmount) -> float | None:
        """How many times the other amount of GPU-hours it is; None where there is no work."""
        return self.hours / other.hours if other.hours else None

    def text(self) -> str:
        """The amount in words."""
        return f"{self.passes:,.0f} image passes, {self.hours:.3g} GPU-hours"


NOTHING = WorkAmount(0, 0.0)
Amount = Callable[[Stage], WorkAmount]
"""The work of a stage, without what it goes on from."""
REPEATED: dict[str, tuple[str, ...]] = {
    "pre-trainings, once for all that start from them": PRETRAINS,
    "features, once for all probes of them": ("features",),
    "adaptations, once for all that ask for them": ("adapt",),
}
"""Ways of sharing whole stages, with the kinds of these."""


@dataclass(frozen=True)
class Saving:
    """What one way of sharing saves."""

    what: str
    amount: WorkAmount
    epochs: int = 0
    """Epochs of pre-training among it."""

    def text(self) -> str:
        """One line."""
        epochs = f"{self.epochs:,} epochs of pre-training, " if self.epochs else ""
        return f"{self.what}: saves {epochs}{self.amount.text()}"


@dataclass(frozen=True)
class Sharing:
    """What pipelines save in all, and by each way of sharing."""

    once: WorkAmount
    """Each distinct stage once."""
    alone: WorkAmount
    """Each pipeline on its own."""
    savings: tuple[Saving, ...]
    """Together the difference of the two."""

    def as_json(self) -> dict[str, Any]:
        """The amounts as JSON values."""
        return {"ratio": self.alone.over(self.once), **asdict(self)}


def sharing_of(
    pipelines: Sequence[Sequence[Stage]], stages: Mapping[str, Stage], amount: Amount
) -> Sharing:
    """What is saved where `stages`, the distinct ones as they are joined, are each run once.

    `pipelines` are the stages of each trial, or of each row, on its own.
    """
    times = Counter(stage.fingerprint for each in pipelines for stage in each)
    own = {stage.fingerprint: stage for each in pipelines for stage in each}
    amounts = {fingerprint: amount(stage) for fingerprint, stage in own.items()}
    alone = sum((amounts[f].times(count) for f, count in times.items()), NOTHING)
    joined = {f: amount(stage) for f, stage in stages.items() if stage.kind == TRUNK}
    once = sum({**amounts, **joined}.values(), NOTHING)
    savings = [*_repeated(own, times, amounts), _begun_alike(stages, amounts, amount)]
    return Sharing(once, alone, tuple(each for each in savings if each.amount.passes))


def _repeated(
    own: Mapping[str, Stage], times: Mapping[str, int], amounts: Mapping[str, WorkAmount]
) -> Iterator[Saving]:
    for what, kinds in REPEATED.items():
        again = {f: times[f] - 1 for f, stage in own.items() if stage.kind in kinds}
        amount = sum((amounts[f].times(count) for f, count in again.items()), NOTHING)
        # A branch counts with its trunk: together they are the epochs of the pre-training.
        epochs = sum(
            count * recipe_of(own[f]).epochs
            for f, count in again.items()
            if own[f].kind == PRETRAIN and count
        )
        yield Saving(what, amount, epochs)


def _begun_alike(
    stages: Mapping[str, Stage], amounts: Mapping[str, WorkAmount], amount: Amount
) -> Saving:
    """The epochs of trunks that go on from shorter ones."""
    longer = [s for s in stages.values() if s.kind == TRUNK and s.continues is not None]
    saved = sum((amounts[s.fingerprint] - amount(s) for s in longer), NOTHING)
    epochs = sum(s.continues.epochs for s in longer if s.continues is not None)
    return Saving("trunks, once for all lengths of pre-training", saved, epochs)


def study_sharing(status: StudyStatus) -> Sharing:
    """What the trials of a study save."""
    pipelines = [trial.stages for trial in status.plan.trials]
    return sharing_of(pipelines, status.plan.stages, lambda stage: amount_of(status, stage))


def amount_of(study: StudyStatus, stage: Stage) -> WorkAmount:
    """The work of one of a study's stages."""
    passes = study.image_passes(stage)
    return WorkAmount(passes, gpu_hours(stage, passes))


def sharing_lines(sharing: Sharing) -> list[str]:
    """The savings for people; none where nothing is shared."""
    if not sharing.savings:
        return []
    ratio = sharing.alone.over(sharing.once)
    fewer = "" if ratio is None else f", {_fewer(ratio)} GPU-hours"
    return [
        f"shared work (against one pipeline for each trial; GPU-hours by operations on {GPU}):",
        *(f"  {each.text()}" for each in sharing.savings),
        f"  all: {sharing.once.text()}, instead of {sharing.alone.text()}{fewer}",
    ]


def _fewer(ratio: float) -> str:
    """How many times fewer, or what share where that rounds to once."""
    shown = f"{ratio:.2f}"
    return f"{1 - 1 / ratio:.1%} fewer" if shown == "1.00" else f"{shown} times fewer"
