"""GPUs that only Ray believes in: stages that wait in the place of training are packed on them, and
no GPU idles longer than the critical path demands.

Time is virtual. A stage tells when it has begun; when nothing else can begin, the clock goes on to
the earliest end of a stage. So the schedule is that of stages which take hours, on a machine of any
speed, while Ray, Tune, their placement groups and the processes are real. The workers of a group
are reserved as Ray Train reserves them, without torch's process group, which needs real GPUs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.stages import Stage
from sweeps.execution import tuning
from sweeps.execution.jobs import Job, on_paths
from sweeps.execution.tuning import fit_jobs, tune_scratch
from sweeps.planning.study import Resources
from sweeps.preflight.resources import HEAD, WORKERS, Cluster, stage_bundle
from sweeps.ray_session.room import Room
from sweeps.ray_session.session import ray_session

from ..clusters import cluster_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]

CLOSE = 1.05
"""The longest that a run may take, in units of the bound below which no schedule ends."""
STEPS = 4
"""Steps of Tune in which nothing begins, after which nothing will before a stage ends."""
PATIENCE = 120.0
"""Seconds for a process to start; later the clock goes on without it, and its GPU has idled."""

Gpu = tuple[str, int]
"""Node and number of a GPU."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes with a GPU and three cores each, to which this process is connected."""
    node = {"num_cpus": 3, "num_gpus": 1}
    with cluster_of(node, node) as started, ray_session(started.address) as (nodes, _):
        yield nodes


@dataclass(frozen=True)
class Span:
    """When a stage ran, and on which GPUs."""

    begin: float
    end: float
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True)
class Task:
    """A stage of a study, with what is to be known of it."""

    stage: Stage
    seconds: float
    bundle: Mapping[str, float]

    @property
    def gpus(self) -> float:
        """How many GPUs it holds."""
        return self.bundle.get("GPU", 0.0) * self.bundle.get(WORKERS, 1)


class Study:
    """Stages in the order of a study, and their bundles on a cluster."""

    def __init__(self, cluster: Cluster, **resources: Any) -> None:
        self.cluster, self.asked = cluster, Resources(**resources)
        self.tasks: dict[str, Task] = {}

    def add(self, kind: str, seconds: float, after: str | None = None, **more: float) -> str:
        """Another stage, which needs the one before; `more` changes its bundle."""
        config: dict[str, Any] = {"number": len(self.tasks)}
        if kind == "adapt":
            config["adaptation"] = {"method": "end_to_end"}
        stage = Stage(kind, config, "", "", {} if after is None else {"before": after})
        bundle = stage_bundle(stage, self.asked, self.cluster) | more
        self.tasks[stage.fingerprint] = Task(stage, seconds, bundle)
        return stage.fingerprint

    def trial(self, seconds: float, after: str | None = None) -> str:
        """A fine-tuning with its evaluation, which takes a moment of a core."""
        tune = self.add("adapt", seconds, after)
        return self.add("evaluate", 0.25, tune)

    def path(self, name: str) -> float:
        """Seconds from a stage's start to the end of what waits for it, by the definition."""
        after = [n for n, task in self.tasks.items() if name in task.stage.inputs.values()]
        return self.tasks[name].seconds + max(map(self.path, after), default=0.0)

    def bound(self) -> float:
        """No schedule ends earlier: not before the longest chain of stages, nor before all GPUs
        together have done all of the work."""
        work = sum(task.seconds * task.gpus for task in self.tasks.values())
        return max(max(map(self.path, self.tasks)), work / self.cluster.total("GPU"))

    def in_order(self) -> float:
        """When the study would end if what comes first in it went first, on whole GPUs."""
        now, running, done, left = 0.0, dict[str, float](), set[str](), list(self.tasks)
        while left or running:
            for name in list(left):
                task = self.tasks[name]
                held = sum(self.tasks[each].gpus for each in running)
                room = held + task.gpus <= self.cluster.total("GPU")
                if room and set(task.stage.inputs.values()) <= done:
                    running[name] = now + task.seconds
                    left.remove(name)
            name = min(running, key=lambda each: running[each])
            now = running.pop(name)
            done.add(name)
        return now


@dataclass
class VirtualTime:
    """Lets stages end in the order of their durations; called in each step of Tune."""

    folder: Path
    study: Study
    handed: set[str] = field(default_factory=set)
    """Stages that Tune was given and that have not ended."""
    spans: dict[str, Span] = field(default_factory=dict)
    now: float = 0.0
    _released: set[str] = field(default_factory=set)
    _still: int = 0
    _changed: float = field(default_factory=time.monotonic)

    def step(self) -> None:
        """Note what has begun; if nothing more will, let the next stage end."""
        new = [name for name in self._begun() if name not in self.spans]
        for name in new:
            self.spans[name] = Span(self.now, self.now + self._seconds(name), self._gpus(name))
        late = time.monotonic() - self._changed > PATIENCE
        starting = [] if late else [*filter(self._has_room, self.handed - self.spans.keys())]
        ending = self.handed & self._released
        self._still = 0 if new or starting or ending else self._still + 1
        running = self.handed & self.spans.keys()
        if self._still >= STEPS and running:
            name = min(running, key=lambda each: (self.spans[each].end, each))
            self.now = self.spans[name].end
            self._released.add(name)
            self.folder.joinpath(f"{name}.end").touch()
            self._still, self._changed = 0, time.monotonic()

    def _seconds(self, name: str) -> float:
        return self.study.tasks[name].seconds

    def _has_room(self, name: str) -> bool:
        """Whether a stage can begin beside those that run: a group may have to wait."""
        held = [self.study.tasks[each].gpus for each in self.handed & self.spans.keys()]
        return sum(held) + self.study.tasks[name].gpus <= self.study.cluster.total("GPU")

    def _begun(self) -> Iterator[str]:
        """The handed stages all of whose processes have begun."""
        for name in self.handed:
            places = list(self.folder.glob(f"{name}.*.begun"))
            if places and len(places) == json.loads(places[0].read_text())["workers"]:
                yield name

    def _gpus(self, name: str) -> tuple[Gpu, ...]:
        told = [json.loads(f.read_text()) for f in sorted(self.folder.glob(f"{name}.*.begun"))]
        return tuple((each["node"], gpu) for each in told for gpu in each["gpus"])


def waiting_work(folder: str) -> Callable[..., None]:
    """The work of a trial, whose stages wait for the end of their file in place of training."""

    def wait(fingerprint: str, worker: int = 0, workers: int = 1) -> None:
        import json
        import os
        import time

        import ray

        shown = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        told = {
            "node": ray.get_runtime_context().get_node_id(),
            "gpus": [int(gpu) for gpu in ray.get_gpu_ids()],
            "shown": [int(gpu) for gpu in shown.split(",") if gpu],
            "workers": workers,
        }
        assert told["gpus"] == told["shown"]
        path = os.path.join(folder, f"{fingerprint}.{worker}.begun")
        with open(path + "~", "w") as file:
            json.dump(told, file)
        os.replace(path + "~", path)
        while not os.path.exists(os.path.join(folder, f"{fingerprint}.end")):
            time.sleep(0.02)

    def wait_alone(stage: Any, store: Any, report: Any) -> None:
        wait(stage.fingerprint)

    def wait_in_group(stage: Any, location: Any, bundle: Any, scratch: Any, rows: Any) -> None:
        import ray
        from ray.util.placement_group import placement_group, remove_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        workers, each = int(bundle["workers"]), {name: bundle[name] for name in ("CPU", "GPU")}
        group = placement_group([each] * workers)
        ray.get(group.ready())
        waits = [
            ray.remote(wait)
            .options(
                num_cpus=each["CPU"],
                num_gpus=each["GPU"],
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, worker),
            )
            .remote(stage.fingerprint, worker, workers)
            for worker in range(workers)
        ]
        ray.get(waits)
        remove_placement_group(group)

    def work(config: Any, jobs: Any, location: Any, bundles: Any, scratch: Any = "") -> None:
        from sweeps.execution import trainable

        changed: Any = trainable
        changed._prepare_process = lambda bundle: None  # which imports torch and asks for CUDA
        changed.run_stage, changed.run_workers = wait_alone, wait_in_group
        trainable.run_as_trial(config, jobs, location, bundles, scratch)

    return work


Run = Callable[[Study], dict[str, Span]]


@pytest.fixture
def run(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a study as the runner does; returns when each stage ran."""

    def ran(study: Study) -> dict[str, Span]:
        clock = VirtualTime(tmp_path, study)

        class WatchedRoom(Room):
            def begin(self, name: str, bundle: Mapping[str, float]) -> None:
                super().begin(name, bundle)
                clock.handed.add(name)
                clock._changed = time.monotonic()

            def end(self, name: str) -> None:
                super().end(name)
                clock.handed.remove(name)

        monkeypatch.setattr(tuning, "Room", WatchedRoom)
        monkeypatch.setattr(tuning, "run_as_trial", waiting_work(str(tmp_path)))
        monkeypatch.setattr(tuning, "ASK_SECONDS", 0.15)  # three steps, in which no time passes
        jobs = {name: Job((task.stage,), (task.stage,)) for name, task in study.tasks.items()}
        jobs = on_paths(jobs, {name: study.path(name) for name in jobs})
        bundles = {name: task.bundle for name, task in study.tasks.items()}
        store = open_store(str(tmp_path / "results"))
        with tune_scratch(store, None) as scratch:
            fit_jobs(jobs, set(), store, bundles, cluster, [], scratch, clock.step)
        assert clock.spans.keys() == study.tasks.keys()
        return clock.spans

    return ran


def check(study: Study, spans: Mapping[str, Span]) -> None:
    """Each stage ran after its inputs, and no GPU did more than it can at any time."""
    for name, span in spans.items():
        for need in study.tasks[name].stage.inputs.values():
            assert spans[need].end <= span.begin
        assert len(span.gpus) == round(study.tasks[name].gpus + 0.499)
    for gpu in {gpu for span in spans.values() for gpu in span.gpus}:
        for moment in {span.begin for span in spans.values()}:
            names = [n for n, s in spans.items() if gpu in s.gpus and s.begin <= moment < s.end]
            assert sum(study.tasks[name].bundle["GPU"] for name in names) <= 1.0


def idle_share(study: Study, spans: Mapping[str, Span]) -> float:
    """The share of the GPUs' time until the last one has ended in which they did nothing."""
    ends = max(span.end for span in spans.values() if span.gpus)
    work = sum(task.seconds * task.gpus for task in study.tasks.values())
    return 1.0 - work / (ends * study.cluster.total("GPU"))


def end_of(spans: Mapping[str, Span]) -> float:
    return max(span.end for span in spans.values())


def test_the_critical_path_goes_first(cluster: Cluster, run: Run) -> None:
    """Written last in the study: a long pre-training, and what needs it."""
    study = Study(cluster)
    for _ in range(6):
        study.trial(2.0)
    short = study.add("pretrain", 2.0)
    for _ in range(2):
        study.trial(2.0, short)
    long = study.add("pretrain", 8.0)
    study.trial(6.0, long)
    spans = run(study)
    check(study, spans)
    assert study.in_order() > 1.25 * study.bound()
    assert end_of(spans) <= CLOSE * study.bound()
    assert idle_share(study, spans) <= CLOSE - 1
    evaluations = [n for n, task in study.tasks.items() if task.stage.kind == "evaluate"]
    for name in evaluations:  # at once, beside the GPUs' work: trials finish early
        (tune,) = study.tasks[name].stage.inputs.values()
        assert spans[name].begin == spans[tune].end


@pytest.mark.cluster
def test_halves_of_gpus_run_side_by_side(cluster: Cluster, run: Run) -> None:
    study = Study(cluster, gpus=0.5)
    for _ in range(6):
        study.add("adapt", 2.0)
    study.trial(4.0)
    spans = run(study)
    check(study, spans)
    assert len({gpu for span in spans.values() for gpu in span.gpus}) == 2
    first = [span for span in spans.values() if span.begin == 0.0]
    assert len(first) == 4
    assert end_of(spans) <= CLOSE * study.bound()
    assert idle_share(study, spans) <= CLOSE - 1


@pytest.mark.cluster
def test_a_group_gets_all_of_its_gpus_and_others_fill_the_rest(cluster: Cluster, run: Run) -> None:
    """A pre-training on both GPUs goes first, as its path is the longest; then nothing idles."""
    study = Study(cluster)
    for _ in range(4):
        study.add("adapt", 2.0)
    group = study.add("pretrain", 6.0, **{WORKERS: 2, HEAD: 0.9})
    study.trial(4.0, group)
    spans = run(study)
    check(study, spans)
    assert spans[group].begin == 0.0
    assert len(set(spans[group].gpus)) == 2
    assert end_of(spans) <= CLOSE * study.bound()
    assert idle_share(study, spans) <= 0.125


@pytest.mark.cluster
def test_a_group_that_comes_late_is_not_starved(cluster: Cluster, run: Run) -> None:
    """It needs both GPUs, which end at different times; small stages would keep one of them."""
    study = Study(cluster)
    first = study.add("features", 1.0)
    group = study.add("pretrain", 3.0, first, **{WORKERS: 2, HEAD: 0.9})
    study.trial(3.0, group)
    for _ in range(3):
        study.add("adapt", 2.0)
    spans = run(study)
    check(study, spans)
    assert spans[group].begin == 2.0
    assert len(set(spans[group].gpus)) == 2
