"""How long a sweep will still take, from the measured time per image of each kind of work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from fairfm_core.stages import Stage

Clock = float
"""Seconds of a monotonic clock."""


class TimeLeft:
    """Estimates the time left from the seconds per image pass of each kind of work.

    `passes` are the images that each stage passes through a network, by fingerprint (see
    `StudyStatus.image_passes`): the one measure in which a feature extraction, a short and a long
    training can be compared. A stage without a network counts as one pass. `behind` are the shares
    that earlier runs have done of stages that now go on from a checkpoint: what they took is not
    known here, so they count neither as measured nor as left.
    """

    def __init__(
        self, passes: Mapping[str, int], behind: Mapping[str, float] | None = None
    ) -> None:
        self._passes = dict(passes)
        self._share: dict[str, float] = dict(behind or {})
        self._started: dict[str, tuple[Clock, float]] = {}
        """When each running stage was begun, and the share that was done then."""
        self._seen: dict[str, Clock] = {}
        """When each running stage has last told its share."""
        self._measured: dict[str, tuple[str, float, float]] = {}

    def extend(self, passes: Mapping[str, int]) -> None:
        """Further stages have been asked for."""
        self._passes |= passes

    def started(self, stage: Stage, now: Clock) -> None:
        """A worker has begun the stage, or goes on with it."""
        self._started[stage.fingerprint] = now, self._share.get(stage.fingerprint, 0.0)
        self._seen[stage.fingerprint] = now

    def progressed(self, stage: Stage, share: float, now: Clock) -> None:
        """A share in 0..1 of the stage's work is done."""
        if stage.fingerprint not in self._started:
            return
        begun, before = self._started[stage.fingerprint]
        if share <= before:
            return
        self._share[stage.fingerprint], self._seen[stage.fingerprint] = share, now
        amount = (share - before) * max(1, self._passes[stage.fingerprint])
        self._measured[stage.fingerprint] = (work_of(stage), now - begun, amount)

    def ended(self, stage: Stage, now: Clock) -> None:
        """The stage is done, or will never be."""
        self.progressed(stage, 1.0, now)
        self._started.pop(stage.fingerprint, None)

    def seconds(self, stages: Iterable[Stage], slots: int, now: Clock) -> float | None:
        """Seconds until these stages are done on `slots` workers; None while unknown."""
        rates = self._rates()
        if not rates:
            return None
        fallback = _mean_rate([pair for pairs in rates.values() for pair in pairs])
        total = 0.0
        for stage in stages:
            pairs = rates.get(work_of(stage))
            rate = _mean_rate(pairs) if pairs else fallback
            left = 1.0 - self._share.get(stage.fingerprint, 0.0)
            seconds = rate * left * max(1, self._passes[stage.fingerprint])
            since = now - self._seen[stage.fingerprint] if stage.fingerprint in self._started else 0
            total += max(0.0, seconds - since)
        return total / slots

    def _rates(self) -> dict[str, list[tuple[float, float]]]:
        rates: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for work, seconds, amount in self._measured.values():
            rates[work].append((seconds, amount))
        return rates


def work_of(stage: Stage) -> str:
    """The kind of work that a stage does, for timing: its kind, method and backbone."""
    recipe = stage.config.get("adaptation") or stage.config.get("pretraining") or {}
    method = recipe.get("method", "")
    return f"{stage.kind} {method} {stage.config.get('backbone', {}).get('name', '')}"


def worker_time(done: Iterable[tuple[Stage, float]], missing: Sequence[Stage]) -> str:
    """The worker time of the missing stages, from the mean seconds of finished ones.

    `done` are finished stages with their seconds; only those of the same work count.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    for stage, took in done:
        seconds[work_of(stage)].append(took)
    if not missing:
        return "nothing to run"
    known = [each for s in missing if (each := seconds.get(work_of(s)))]
    if not known:
        return "worker time: not known before the first stage of its kind is done"
    total = sum(sum(each) / len(each) for each in known)
    return (
        f"worker time: {duration(total)} for {len(known)} of {len(missing)} stages to run, "
        "measured on finished ones of the same work"
    )


def _mean_rate(pairs: list[tuple[float, float]]) -> float:
    """Seconds per image pass over all (seconds, passes)."""
    return sum(seconds for seconds, _ in pairs) / sum(amount for _, amount in pairs)


def duration(seconds: float) -> str:
    """Seconds as `45 s`, `3 min 20 s` or `5 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
