"""The worker time that missing stages will take, measured on finished ones of the same work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from fairfm_core.stages import Stage


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


def duration(seconds: float) -> str:
    """Seconds as `45 s`, `3 min 20 s` or `5 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
