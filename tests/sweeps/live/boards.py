"""Boards for tests of what is shown."""

from __future__ import annotations

from typing import Any

from sweeps.live.board import Board, FailedWork, FrontPlace, RunningJob

TUNE = RunningJob("fine-tune", "tune.standard.s0", 3, 8, 0.5214, 0.6823, "1 gpu H100", 12.0, 20.0)
PRETRAIN = RunningJob(
    "pre-train mae", "natural.masked.*.s0 (4 trials)", 12, 20, 0.4312, None, "1 cpu", 95.0, None
)
PROBES = RunningJob("32 probes", "32 trials", 0, 90, None, None, "1 cpu", 2.0, 61.0)
EVALUATE = RunningJob("evaluate", "probe.s1", None, None, None, None, "1 cpu", 1.0, 1.0)


def board(**changes: Any) -> Board:
    """A study in the middle of its run."""
    values: dict[str, Any] = {
        "study": "first",
        "trials": 18,
        "done": 3,
        "running": 6,
        "failed": 2,
        "stages": (("pretrain", 1, 4), ("adapt", 3, 18), ("evaluate", 3, 18)),
        "jobs": (PRETRAIN, TUNE, PROBES, EVALUATE),
        "front": (
            FrontPlace("medical.tune", "AUC 70.4, race gap 5.5"),
            FrontPlace("natural.tune", "AUC 69.0, race gap 2.0"),
        ),
        "front_size": 2,
        "judged": 3,
        "failures": (FailedWork("bad.s0", "loss is nan at step 4 (epoch 1)"),),
        "seconds": 130.0,
        "left": 102.0,
        "why": "43 s expected before: fine-tuning of vit takes 2.9 times as long",
    }
    return Board(**{**values, **changes})
