"""The live display: counts and time left, on a terminal and in a log."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import StudySpec
from sweeps.status import progress as progress_module
from sweeps.status.progress import Progress
from sweeps.status.status import StudyStatus
from sweeps.status.worker_time import TimeLeft, duration, work_of, worker_time


@pytest.fixture
def plan(study_values: dict[str, Any]) -> StudyPlan:
    return make_plan(StudySpec.model_validate(study_values))


@pytest.fixture
def progress(plan: StudyPlan, tmp_path: Path) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    return Progress(StudyStatus(plan, take_snapshot(open_store(str(tmp_path)))), 2, out), out


def test_counts_follow_the_stages(plan: StudyPlan, progress: tuple[Progress, io.StringIO]) -> None:
    shown, out = progress
    assert shown.line() == "trials 0/8 done, 0 running, 0 failed; time left not known yet"
    tune = next(trial for trial in plan.trials if trial.name == "tune.standard.s0")
    shown.stage_started(tune.adapt)
    assert "0/8 done, 1 running, 0 failed" in shown.line()
    shown.stage_finished(tune.adapt)
    shown.stage_started(tune.evaluate)
    shown.stage_finished(tune.evaluate)
    assert "1/8 done, 0 running, 0 failed; about" in shown.line()
    assert "done    tune.standard.s0" in out.getvalue()


def test_a_failure_counts_every_trial_that_needs_the_stage(
    plan: StudyPlan, progress: tuple[Progress, io.StringIO]
) -> None:
    shown, out = progress
    features = next(s for s in plan.stages.values() if s.kind == "features")
    shown.stage_failed(features, "no image")
    assert "0/8 done, 0 running, 2 failed" in shown.line()
    assert "FAILED  probe.standard.s0, probe.balanced.s0: no image" in out.getvalue()


def test_all_done_leaves_no_time(plan: StudyPlan, progress: tuple[Progress, io.StringIO]) -> None:
    shown, _ = progress
    for stage in plan.stages.values():
        shown.stage_started(stage)
        shown.stage_finished(stage)
    assert shown.line() == "trials 8/8 done, 0 running, 0 failed; 0 s left"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_line_is_rewritten(plan: StudyPlan, tmp_path: Path) -> None:
    out = Terminal()
    with Progress(StudyStatus(plan, take_snapshot(open_store(str(tmp_path)))), 2, out) as shown:
        shown.stage_started(plan.trials[0].adapt)
    assert out.getvalue().count("\r\033[K") == 2
    assert out.getvalue().endswith("left not known yet\n")


def stage(name: str, backbone: str = "net") -> Stage:
    return Stage("features", {"backbone": {"name": backbone}, "name": name}, "", "")


def test_time_left_is_images_left_times_the_measured_rate() -> None:
    first, second, other = stage("a"), stage("b"), stage("c", backbone="unseen")
    time_left = TimeLeft({first.fingerprint: 100, second.fingerprint: 50, other.fingerprint: 200})
    assert time_left.seconds([first, second], 1, 0.0) is None
    time_left.started(first, 0.0)
    time_left.progressed(first, 0.5, 10.0)  # 50 images in 10 s: 0.2 s an image
    assert time_left.seconds([first], 1, 10.0) == pytest.approx(10.0)
    assert time_left.seconds([first, second], 2, 10.0) == pytest.approx((10.0 + 10.0) / 2)
    time_left.ended(first, 20.0)
    assert time_left.seconds([second, other], 1, 20.0) == pytest.approx(10.0 + 40.0)


def test_what_an_earlier_run_has_done_is_neither_measured_nor_left() -> None:
    """Half of `first` was done before this run, which knows nothing of how long that took."""
    first, second = stage("a"), stage("b")
    passes = {first.fingerprint: 100, second.fingerprint: 100}
    time_left = TimeLeft(passes, {first.fingerprint: 0.5})
    time_left.started(first, 0.0)
    time_left.progressed(first, 0.5, 1.0)  # the checkpoint's own epoch, reported again
    assert time_left.seconds([first], 1, 1.0) is None
    time_left.progressed(first, 0.6, 10.0)  # 10 images in 10 s
    assert time_left.seconds([first], 1, 10.0) == pytest.approx(40.0)
    assert time_left.seconds([first, second], 1, 12.0) == pytest.approx(38.0 + 100.0)


def test_a_stage_that_lost_its_worker_is_measured_from_its_new_start() -> None:
    first = stage("a")
    time_left = TimeLeft({first.fingerprint: 100})
    time_left.started(first, 0.0)
    time_left.progressed(first, 0.4, 40.0)
    time_left.started(first, 1000.0)
    assert time_left.seconds([first], 1, 1000.0) == pytest.approx(60.0)
    time_left.progressed(first, 0.5, 1010.0)
    assert time_left.seconds([first], 1, 1010.0) == pytest.approx(50.0)


def test_a_resumed_training_is_measured_from_its_checkpoint(
    plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9 of 18 epochs were done before; three more in 3 s leave six, which take 6 s."""
    store = open_store(str(tmp_path))
    tune = next(trial for trial in plan.trials if trial.name == "tune.standard.s0")
    store.save_checkpoint(tune.adapt.fingerprint, 9, b"state")
    now = iter([0.0, 0.0, 3.0, 3.0, 3.0, 3.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(now, 3.0))
    shown = Progress(StudyStatus(plan, take_snapshot(store)), 1, io.StringIO())
    shown._left = {tune.adapt.fingerprint: tune.adapt}
    shown.stage_started(tune.adapt)
    shown.stage_reported(tune.adapt, {"epoch": 12.0})
    assert shown.line().endswith("about 6 s left")


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
