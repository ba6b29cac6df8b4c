"""What a running sweep tells of itself: counts, running jobs, the front so far, news."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage
from sweeps.live.board import board_of
from sweeps.live.names import common_name, listed
from sweeps.live.progress import Progress
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.planned_trial import PlannedTrial
from sweeps.planning.study import StudySpec
from sweeps.status.status import StudyStatus
from sweeps.timing.work import LiveJob, Waits

WHO = "gpu07, process 4"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plan(study_values: dict[str, Any]) -> StudyPlan:
    return make_plan(StudySpec.model_validate(study_values))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store(str(tmp_path / "results"))


Begin = Callable[[], Progress]


@pytest.fixture
def begin(
    plan: StudyPlan,
    store: ArtifactStore,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Begin:
    """Begins a run of what the store lacks: probes of one seed in one job, on two cores."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run() -> Progress:
        status = StudyStatus(plan, take_snapshot(store))
        jobs: dict[tuple[str, str], tuple[Stage, ...]] = {}
        for stage in status.missing.values():
            key = stage.kind, stage.inputs.get("features", stage.fingerprint)
            jobs[key] = (*jobs.get(key, ()), stage)
        made = [LiveJob(stages, len(stages)) for stages in jobs.values()]
        return Progress(status, made, (2.0, 0.0), 2, clock)

    return run


def named(plan: StudyPlan, name: str) -> PlannedTrial:
    return next(trial for trial in plan.trials if trial.name == name)


def finish(progress: Progress, *stages: Stage) -> None:
    for stage in stages:
        progress.stage_started(stage)
        progress.stage_finished(stage)


def test_counts_follow_the_stages(plan: StudyPlan, begin: Begin) -> None:
    progress, tune = begin(), named(plan, "tune.standard.s0")
    board = progress.board()
    assert (board.trials, board.done, board.running, board.waiting) == (8, 0, 0, 8)
    progress.stage_started(tune.adapt)
    assert (progress.board().running, progress.board().waiting) == (1, 7)
    progress.stage_finished(tune.adapt)
    finish(progress, tune.evaluate)
    board = progress.board()
    assert (board.done, board.running, board.jobs) == (1, 0, ())
    assert ("adapt", 1, 8) in board.stages
    assert progress.take_news().finished == ["tune.standard.s0"]
    assert progress.take_news().finished == []


def test_a_running_job_shows_its_last_epoch(plan: StudyPlan, begin: Begin, clock: Clock) -> None:
    progress, tune = begin(), named(plan, "tune.standard.s0")
    progress.stage_started(tune.adapt)
    clock.now = 9.0
    progress.stage_reported(tune.adapt, {"epoch": 2.0, "loss": 0.5, "val_auc": math.nan})
    clock.now = 11.0
    progress.stage_reported(tune.adapt, {"epoch": 4.0, "loss": 0.25, "val_auc": 0.7})
    (job,) = progress.board().jobs
    assert (job.work, job.trials, job.device) == ("fine-tune", "tune.standard.s0", "1 cpu")
    assert (job.epoch, job.epochs, job.loss, job.auc) == (4, 18, 0.25, 0.7)
    assert job.seconds == 11.0
    assert job.left == pytest.approx(14.0)  # the first report of a new process is the start


def test_probes_of_one_pass_are_one_row(plan: StudyPlan, begin: Begin) -> None:
    progress = begin()
    first, second = (named(plan, f"probe.{s}.s0").adapt for s in ("standard", "balanced"))
    finish(progress, named(plan, "probe.standard.s0").stages[0])
    for stage in (first, second):
        progress.stage_started(stage)
    for stage, auc in ((first, 0.6), (second, 0.8)):
        progress.stage_reported(stage, {"epoch": 1.0, "loss": 0.5, "val_auc": auc})
    (job,) = progress.board().jobs
    assert (job.work, job.trials) == ("2 probes", "probe.*.s0 (2 trials)")
    assert (job.epoch, job.epochs, job.loss, job.auc) == (1, 3, 0.5, 0.8)
    progress.stage_finished(first)
    assert len(progress.board().jobs) == 1
    progress.stage_failed(second, "diverged")
    assert progress.board().jobs == ()


def test_a_failure_counts_every_trial_that_needs_the_stage(plan: StudyPlan, begin: Begin) -> None:
    progress = begin()
    features = named(plan, "probe.standard.s0").stages[0]
    assert features.kind == "features"
    progress.stage_started(features)
    progress.stage_failed(features, "no image\n\x1b[31m")
    board = progress.board()
    assert (board.failed, board.running, board.jobs) == (2, 0, ())
    assert board.failures[0].trials == "probe.*.s0 (2 trials)"
    assert board.failures[0].reason == "no image [31m"
    failed = "FAILED  probe.standard.s0, probe.balanced.s0: no image [31m"
    assert progress.take_news().warnings() == [failed]
    for trial in plan.trials:
        if trial.name not in ("probe.standard.s0", "probe.balanced.s0"):
            finish(progress, *trial.stages)
    assert (progress.board().done, progress.board().left) == (6, 0.0)


def test_all_done_leaves_no_time(plan: StudyPlan, begin: Begin) -> None:
    progress = begin()
    finish(progress, *plan.stages.values())
    board = progress.board()
    assert (board.done, board.waiting, board.left) == (8, 0, 0.0)


def test_the_front_so_far_is_of_configurations_on_validation(plan: StudyPlan, begin: Begin) -> None:
    progress = begin()
    values = {
        "tune.standard.s0": {"val/auc": 0.7, "val/gap_sex": 0.1},
        "tune.standard.s1": {"val/auc": 0.8, "val/gap_sex": 0.1},
        "tune.balanced.s0": {"val/auc": 0.6, "val/gap_sex": 0.05},
        "probe.standard.s0": {"val/auc": 0.5, "val/gap_sex": 0.2},
        "probe.balanced.s0": {"val/auc": math.nan, "val/gap_sex": 0.0},
    }
    for name, row in values.items():
        trial = named(plan, name)
        finish(progress, *trial.stages[:-1])
        progress.stage_started(trial.evaluate)
        progress.stage_reported(trial.evaluate, row)
        progress.stage_finished(trial.evaluate)
    board = progress.board()
    assert [place.label for place in board.front] == ["tune.standard", "tune.balanced"]
    assert board.front[0].values == "AUC 75.0, sex gap 10.0"
    assert (board.front_size, board.judged) == (2, 3)
    assert progress.values_text("tune.balanced.s0") == "AUC 60.0, sex gap 5.0"
    assert progress.values_text("probe.balanced.s0") == "sex gap 0.0"


def test_trials_of_earlier_runs_are_read_for_the_front(
    plan: StudyPlan, store: ArtifactStore, begin: Begin
) -> None:
    done = plan.trials[0]
    for stage in done.stages:
        with store.publish(stage.kind, stage.fingerprint, {}):
            pass
    progress = begin()
    assert progress.board().done == 1
    trial = progress.take_unread()
    assert trial is not None
    assert trial.name == done.name
    assert progress.take_unread() is None
    progress.judge(trial, {"val/auc": 0.7, "val/gap_sex": 0.1})
    assert progress.board().front[0].label == done.label


def test_no_front_is_told_before_all_earlier_trials_are_read(
    plan: StudyPlan, store: ArtifactStore, begin: Begin
) -> None:
    """Half of the seeds made another front, and "best so far" had other values."""
    for stage in [stage for trial in plan.trials[:2] for stage in trial.stages]:
        if not store.is_done(stage.kind, stage.fingerprint):
            with store.publish(stage.kind, stage.fingerprint, {}):
                pass
    progress = begin()
    for front_size in (0, 1):
        trial = progress.take_unread()
        assert trial is not None
        progress.judge(trial, {"val/auc": 0.7, "val/gap_sex": 0.1})
        assert progress.board().front_size >= front_size
        assert bool(progress.board().front) == bool(front_size)


def test_a_lost_worker_and_work_elsewhere_are_news_once(plan: StudyPlan, begin: Begin) -> None:
    progress, tune = begin(), named(plan, "tune.standard.s0")
    for _ in range(3):
        progress.elsewhere([tune.adapt], WHO)
    assert progress.board().elsewhere == (f"fine-tune tune.standard.s0 ({WHO})",)
    waits = f"waits   fine-tune tune.standard.s0: running elsewhere ({WHO})"
    assert progress.take_news().warnings() == [waits]
    progress.stage_started(tune.adapt)
    assert progress.board().elsewhere == ()
    progress.worker_lost(tune.adapt, "out of memory")
    again = "again   fine-tune tune.standard.s0: lost its worker (out of memory)"
    assert progress.take_news().warnings() == [again]
    progress.stage_started(tune.adapt)
    assert len(progress.board().jobs) == 1


def test_a_resumed_training_is_measured_from_its_checkpoint(
    plan: StudyPlan, store: ArtifactStore, begin: Begin, clock: Clock
) -> None:
    """9 of 18 epochs were done before; three more in 3 s leave three of one second each."""
    tune = named(plan, "tune.standard.s0")
    store.save_checkpoint(tune.adapt.fingerprint, 9, b"state")
    progress = begin()
    progress.stage_started(tune.adapt)
    assert progress.board().jobs[0].epoch == 9
    for epoch in (12.0, 15.0):
        clock.now += 3.0
        progress.stage_reported(tune.adapt, {"epoch": epoch})
    assert progress.board().jobs[0].left == pytest.approx(3.0)


def test_what_a_run_measures_is_known_to_the_next(
    plan: StudyPlan, begin: Begin, clock: Clock
) -> None:
    progress, tune = begin(), named(plan, "tune.standard.s0")
    assert progress.board().left is None
    progress.stage_started(tune.adapt)
    for epoch in (1.0, 2.0, 3.0):
        clock.now += 1.0
        progress.stage_reported(tune.adapt, {"epoch": epoch})
    progress.remember()
    left = begin().board().left
    assert left is not None
    assert 30.0 < left < 50.0  # four trainings of 18 epochs on two cores


def test_the_heartbeat_carries_the_board(plan: StudyPlan, begin: Begin) -> None:
    progress, tune = begin(), named(plan, "tune.standard.s0")
    progress.stage_started(tune.adapt)
    written = json.loads(json.dumps(progress.heartbeat(), allow_nan=False))
    assert board_of(written["board"]) == progress.board()


@pytest.mark.parametrize(
    "change",
    [{"study": "\x1b[2J"}, {"done": -1}, {"seconds": float("nan")}, {"jobs": [{}]}, {"left": "x"}],
)
def test_a_board_of_anybody_is_checked(begin: Begin, change: dict[str, Any]) -> None:
    content = begin().board().as_json()
    assert board_of(content) is not None
    assert board_of(content | change) is None


def test_names_in_common() -> None:
    assert common_name(["tune.s0"]) == "tune.s0"
    assert common_name(["a.x.p.s0", "a.y.q.s0"]) == "a.*.s0 (2 trials)"
    assert common_name(["a.s0", "b.s1"]) == common_name(["a", "a.b"]) == "2 trials"
    assert listed(["a", "b", "c", "d"]) == "a, b, c and 1 more"


@pytest.mark.slow
def test_a_thousand_trials_cost_a_moment(
    study_values: dict[str, Any], store: ArtifactStore, clock: Clock
) -> None:
    """Of all events, and a look every second of a run of minutes: a small share of its time."""
    import time

    tune = {"tune": study_values["matrix"]["adaptation"]["tune"]}
    matrix = {"adaptation": tune, "data.sampling": ["standard"]}
    spec = StudySpec.model_validate({**study_values, "matrix": matrix, "seeds": list(range(1000))})
    made = make_plan(spec)
    status = StudyStatus(made, take_snapshot(store))
    jobs = [LiveJob((stage,)) for stage in status.missing.values()]
    progress = Progress(status, jobs, (2.0, 0.0), 2, clock)
    begun = time.process_time()
    for number, trial in enumerate(made.trials):
        for stage in trial.stages:
            clock.now += 0.1
            progress.stage_started(stage)
            progress.stage_finished(stage)
        if number % 5 == 0:  # once a second of the run
            progress.board()
    assert progress.board().done == 1000
    assert time.process_time() - begun < 40.0  # of 200 s; 5 s where nothing else runs


def test_what_waits_is_news_once_and_again_when_it_changes(
    begin: Begin, plan: StudyPlan, clock: Clock
) -> None:
    progress = begin()
    progress.take_news()
    features = next(s for s in plan.stages.values() if s.kind == "features")
    tune = named(plan, "tune.standard.s0").stages[-2]
    asks = {features.fingerprint: "1 CPU"}
    first = Waits(asks, "0 of 2 CPU free", {tune.fingerprint: "1 CPU"}, ("another run (1 CPU)",))
    for _ in range(3):
        clock.now += 5
        progress.work_waits(first)
    (line,) = progress.take_news().lines
    assert line == (
        "waits   features probe.*.s0 (2 trials): for 1 CPU; 0 of 2 CPU free, held by another run "
        "(1 CPU), fine-tune tune.standard.s0 (1 CPU)"
    )
    assert board_of(progress.heartbeat()["board"]).waits == line.removeprefix("waits   ")  # type: ignore[union-attr]
    progress.work_waits(Waits(asks, "0 of 2 CPU free"))
    assert not progress.take_news().lines  # not more often than each minute
    clock.now += 60
    progress.work_waits(Waits(asks, "0 of 2 CPU free"))
    assert progress.take_news().lines == [f"{line.split(', held')[0]}, held by nobody"]
    progress.work_waits(Waits())
    assert not progress.board().waits
