"""Naming a lack of memory: which limit was met, and what to lower."""

from __future__ import annotations

from fairfm_core.control_groups import memory_limit, out_of_memory_kills

BY_RAY = "OutOfMemory"
"""Part of the name of Ray's error when its own monitor has killed a worker."""
ADVICE = (
    "lower batch_size or image_size, run fewer stages at once (--cpus), or give the job more memory"
)

_at_start = out_of_memory_kills()


def why_lost(error: str) -> str | None:
    """Why a worker was lost, if it was for lack of memory; `error` is Ray's description."""
    if BY_RAY in error or "running low on memory" in error:
        return f"out of memory: Ray ended it to protect the machine; {ADVICE}"
    if _killed_since_start():
        return f"out of memory: the system killed a process of this run{_limit()}; {ADVICE}"
    return None


def why_killed() -> str:
    """Why one of Ray's own processes may have ended."""
    if _killed_since_start():
        return f"out of memory: the system killed a process of this run{_limit()}; {ADVICE}"
    return "killed, or crashed"


def _killed_since_start() -> bool:
    now = out_of_memory_kills()
    return now is not None and now > (_at_start or 0)


def _limit() -> str:
    limit = memory_limit()
    return "" if limit is None else f", whose limit is {limit / 1e9:.1f} GB"
