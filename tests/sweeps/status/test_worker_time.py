"""What the missing stages cost, from finished ones of the same work."""

from __future__ import annotations

import pytest

from fairfm_core.stages import Stage
from sweeps.status.worker_time import duration, work_of, worker_time


def pretraining(method: str, seed: int = 0) -> Stage:
    recipe = {"method": method, "seed": seed}
    return Stage("pretrain", {"backbone": {"name": "net"}, "pretraining": recipe}, "", "")


def test_the_two_methods_of_pretraining_are_different_work() -> None:
    assert work_of(pretraining("mae")) == work_of(pretraining("mae", 1)) == "pretrain mae net"
    assert work_of(pretraining("mocov3")) == "pretrain mocov3 net"


def test_only_finished_stages_of_the_same_work_tell_how_long_others_take() -> None:
    done = [(pretraining("mae", 1), 100.0), (pretraining("mae", 2), 140.0)]
    left = [pretraining("mae"), pretraining("mocov3")]
    assert worker_time(done, left).startswith("worker time: 2 min 00 s for 1 of 2 stages to run,")
    assert worker_time(done, left[1:]).startswith("worker time: not known before")
    assert worker_time(done, []) == "nothing to run"


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.4, "4 s"), (200, "3 min 20 s"), (18600, "5 h 10 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
