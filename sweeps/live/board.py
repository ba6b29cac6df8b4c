"""What runs now, as plain data: made by the driver of a study, and shown by it or from elsewhere.

The driver puts its board into its heartbeat, where `fairfm sweep status --watch` reads it. What is
read back is checked like any input: texts are one line each, numbers are finite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from analysis.results.study_record import Text
from fairfm_core.errors import shortened

LONGEST_REASON = 300
"""Characters of a reason that are shown; `sweep logs` has all of them."""


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return value


Count = Annotated[int, Field(ge=0)]
Real = Annotated[float, AfterValidator(_finite)]


@dataclass(frozen=True)
class RunningJob:
    """One piece of work that a worker is doing."""

    work: Text
    """What it is: `fine-tune`, `pre-train mae`, `32 probes`."""
    trials: Text
    """Which trials need it: a name, or what their names have in common."""
    epoch: Count | None
    """Whole epochs that are done; None where there are no epochs."""
    epochs: Count | None
    loss: Real | None
    auc: Real | None
    """Mean validation AUC after that epoch, as a fraction; the best of several probes."""
    device: Text
    seconds: Real
    """Since it was begun."""
    left: Real | None
    """Seconds that it will still take; None while unknown."""


@dataclass(frozen=True)
class FrontPlace:
    """A configuration that no finished one beats in every objective, on validation."""

    label: Text
    values: Text
    """Its objectives in words, means over its finished seeds: `AUC 70.4, race gap 5.5`."""


@dataclass(frozen=True)
class FailedWork:
    """A stage that cannot finish."""

    trials: Text
    reason: Text


@dataclass(frozen=True)
class Board:
    """How a running study stands at one moment."""

    study: Text
    trials: Count
    done: Count
    running: Count
    """Trials of which some stage is being worked on here."""
    failed: Count
    stages: tuple[tuple[Text, Count, Count], ...] = ()
    """Kind of stage, finished ones, all of them; in the order in which they run."""
    jobs: tuple[RunningJob, ...] = ()
    """What the workers do, the longest running first, as many as a screen can hold."""
    more_jobs: Count = 0
    """Running ones that are not listed."""
    front: tuple[FrontPlace, ...] = ()
    """The best configurations so far, by the first objective."""
    front_size: Count = 0
    judged: Count = 0
    """Configurations with a finished trial."""
    failures: tuple[FailedWork, ...] = ()
    """The latest ones."""
    elsewhere: tuple[Text, ...] = ()
    """Work that waits because other drivers do it."""
    more_elsewhere: Count = 0
    """Such work that is not listed."""
    waits: Text = ""
    """What has waited for resources for a minute, and what holds these; empty for nothing."""
    seconds: Real = 0.0
    """Since this run began."""
    left: Real | None = None
    """Seconds until the end; None while unknown."""
    why: Text = ""
    """Why the estimate has changed by much, as long as that is news."""

    @property
    def waiting(self) -> int:
        """Trials of which nothing runs yet."""
        return max(0, self.trials - self.done - self.failed - self.running)

    def as_json(self) -> dict[str, Any]:
        """The board as JSON values; `board_of` reads it back."""
        return asdict(self)


def board_of(content: Mapping[str, Any]) -> Board | None:
    """The board in what a driver has written; None for anything else."""
    try:
        return TypeAdapter(Board).validate_python(content)
    except ValidationError:
        return None


def finite(value: float | None) -> float | None:
    """The value, or None for one that says nothing."""
    return value if value is not None and math.isfinite(value) else None


def one_line(text: str) -> str:
    """A text of anybody as one printable line that is not too long."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return shortened(" ".join(printable.split()), LONGEST_REASON)
