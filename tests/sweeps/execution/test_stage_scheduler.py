"""The searcher hands out a stage when what it needs is done; resources are checked beforehand."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest
from ray.tune.search import Searcher
from ray.tune.utils import flatten_dict

from fairfm_core.errors import BadInput
from fairfm_core.stages import Stage
from sweeps.execution.jobs import Job, make_jobs
from sweeps.execution.stage_scheduler import Groups, StageSearcher
from sweeps.planning.plan import make_plan
from sweeps.planning.study import Resources, StudySpec
from sweeps.preflight.resources import Cluster, concurrent_stages, stage_bundle
from sweeps.ray_session.room import Room


@pytest.fixture
def stages(study_values: dict[str, Any]) -> dict[str, Stage]:
    return make_plan(StudySpec.model_validate(study_values)).stages


@pytest.fixture
def jobs(stages: dict[str, Stage]) -> dict[str, Job]:
    return make_jobs(stages, stages)


@pytest.mark.parametrize("seed", range(5))
def test_every_stage_is_handed_out_once_after_its_inputs(
    stages: dict[str, Stage], jobs: dict[str, Job], seed: int
) -> None:
    """Any order of completions, any number of workers."""
    choice = random.Random(seed)
    searcher = StageSearcher(jobs, done=())
    names = (f"trial{number}" for number in itertools.count())
    running: dict[str, str] = {}
    done: list[str] = []
    while (suggested := searcher.suggest(name := next(names))) != Searcher.FINISHED:
        if isinstance(suggested, dict):
            running[name] = suggested["job"]
            for stage in jobs[suggested["job"]].stages:
                assert all(need in done for need in stage.inputs.values())
        if running and (suggested is None or choice.random() < 0.5):
            trial = choice.choice(list(running))
            searcher.on_trial_complete(trial, {"finished": True})
            done += [stage.fingerprint for stage in jobs[running.pop(trial)].stages]
    done += [stage.fingerprint for name in running.values() for stage in jobs[name].stages]
    assert sorted(done) == sorted(stages)


def test_what_is_done_is_not_handed_out(stages: dict[str, Stage]) -> None:
    searcher = StageSearcher(make_jobs(stages, {}), done=stages)
    assert searcher.suggest("a") == Searcher.FINISHED


def test_a_failure_blocks_what_needs_it_and_nothing_else(
    stages: dict[str, Stage], jobs: dict[str, Job]
) -> None:
    searcher = StageSearcher(jobs, done=())
    handed = searcher.suggest("a")
    assert isinstance(handed, dict)
    assert jobs[handed["job"]].stages[0].kind == "features"
    searcher.on_trial_complete("a", {"failed": "no"})
    kinds = sorted(stages[f].kind for f in searcher.blocked)
    assert kinds == ["adapt", "adapt", "evaluate", "evaluate"]
    left: list[Stage] = []
    while (suggested := searcher.suggest(f"b{len(left)}")) != Searcher.FINISHED:
        assert isinstance(suggested, dict)
        searcher.on_trial_complete(f"b{len(left)}", {"finished": True})
        left += jobs[suggested["job"]].stages
    assert len(left) == len(stages) - 5


def test_a_head_that_fails_alone_blocks_its_own_evaluation(
    stages: dict[str, Stage], jobs: dict[str, Job]
) -> None:
    probes = next(job for job in jobs.values() if len(job.stages) > 1)
    searcher = StageSearcher(jobs, done=probes.inputs)
    trials: dict[str, str] = {}
    while probes.name not in trials:
        name = f"a{len(trials)}"
        handed = searcher.suggest(name)
        assert isinstance(handed, dict)
        trials[handed["job"]] = name
    failed = probes.stages[1].fingerprint
    flat = flatten_dict({"failed_stages": [(failed, "diverged")]})  # as Tune passes it on
    searcher.on_trial_complete(trials[probes.name], flat)
    assert {stages[f].inputs["adapt"] for f in searcher.blocked} == {failed}


def test_probes_of_the_same_features_are_one_job(jobs: dict[str, Job]) -> None:
    probes = [job for job in jobs.values() if "features" in job.stages[0].inputs]
    assert [len(job.stages) for job in probes] == [2, 2]  # scratch features: one set a seed
    assert all(len({s.inputs["features"] for s in job.stages}) == 1 for job in probes)


def test_companions_follow_from_the_study_and_not_from_what_is_done(
    stages: dict[str, Stage], jobs: dict[str, Job]
) -> None:
    whole = next(job for job in jobs.values() if len(job.stages) > 1)
    last = whole.stages[-1]
    (resumed,) = make_jobs(stages, {last.fingerprint: last}).values()
    assert resumed.stages == whole.stages
    assert resumed.wanted == (last,)


def test_a_lost_worker_counts_as_failure(jobs: dict[str, Job]) -> None:
    searcher = StageSearcher(jobs, done=())
    searcher.suggest("a")
    searcher.on_trial_complete("a", None, error=True)
    assert searcher.blocked


CPUS = Cluster(({"CPU": 2.0},))
UNEVEN = Cluster(({"CPU": 16.0}, {"CPU": 4.0, "GPU": 1.0}))
GPUS = Cluster(({"CPU": 0.0}, {"CPU": 4.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 1.0}))


def of_kind(stages: dict[str, Stage], method: str) -> Stage:
    return next(
        s
        for s in stages.values()
        if method in (s.kind, s.config.get("adaptation", {}).get("method"))
    )


@pytest.mark.parametrize(
    ("asked", "cluster", "expected"),
    [
        (Resources(), CPUS, {"CPU": 1.0}),
        (Resources(), GPUS, {"CPU": 3.0, "GPU": 1.0}),  # one core is left for evaluations
        (Resources(gpus=0.5), GPUS, {"CPU": 1.0, "GPU": 0.5}),
        (Resources(cpus=1), GPUS, {"CPU": 1.0, "GPU": 1.0}),
        (Resources(gpus=0.5, cpus=2), GPUS, {"CPU": 2.0, "GPU": 0.5}),
        (Resources(gpus=0), GPUS, {"CPU": 1.0}),
    ],
)
def test_training_takes_a_gpu_where_there_is_one(
    stages: dict[str, Stage], asked: Resources, cluster: Cluster, expected: dict[str, float]
) -> None:
    for method in ("features", "end_to_end"):
        assert stage_bundle(of_kind(stages, method), asked, cluster) == expected
    for method in ("linear_probe", "evaluate"):
        assert "GPU" not in stage_bundle(of_kind(stages, method), asked, cluster)


@pytest.mark.parametrize(
    ("asked", "cluster", "message"),
    [
        (Resources(gpus=1), CPUS, "asks for 1 CPU and 1 GPU on one node.*2 CPU, 0 GPU"),
        (Resources(gpus=2), GPUS, "asks for 1 CPU and 2 GPU on one node"),
        (Resources(cpus=3), CPUS, "asks for 3 CPU on one node.*change resources"),
        (Resources(cpus=8, gpus=1), UNEVEN, "8 CPU and 1 GPU.*16 CPU, 0 GPU; 4 CPU, 1 GPU"),
        (Resources(), Cluster(({"CPU": 0.0},)), "start such a node"),
    ],
)
def test_impossible_requests_are_refused(
    stages: dict[str, Stage], asked: Resources, cluster: Cluster, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        stage_bundle(of_kind(stages, "features"), asked, cluster)


def test_concurrency_is_what_the_cluster_holds() -> None:
    assert concurrent_stages([{"CPU": 1.0}, {"CPU": 2.0}], CPUS) == 2
    assert concurrent_stages([{"CPU": 0.5}], GPUS) == 16
    assert concurrent_stages([], CPUS) == 2


def names_of(searcher: StageSearcher, count: int) -> list[str | None]:
    """The names of the next jobs that are handed out; None where one has to wait."""
    handed = [searcher.suggest(f"trial{number}") for number in range(count)]
    return [each["job"] if isinstance(each, dict) else None for each in handed]


def chain(*kinds: str, mark: str = "") -> list[Stage]:
    """Stages, each of which needs the one before."""
    made: list[Stage] = []
    for kind in kinds:
        inputs = {"before": made[-1].fingerprint} if made else {}
        made.append(Stage(kind, {"mark": mark}, "", "", inputs))
    return made


def as_jobs(*stages: Stage, paths: Sequence[float] = ()) -> dict[str, Job]:
    longest = [*paths, *[0.0] * len(stages)]
    made = (Job((s,), (s,), path) for s, path in zip(stages, longest, strict=False))
    return {job.name: job for job in made}


def test_evaluations_come_first_then_the_longest_path() -> None:
    stages = [chain("pretrain", mark=mark)[0] for mark in "abc"]
    adapt, evaluate = chain("adapt", "evaluate")
    jobs = as_jobs(*stages, adapt, evaluate, paths=[5.0, 9.0, 7.0, 6.0, 1.0])
    searcher = StageSearcher(jobs, done=[adapt.fingerprint])
    a, b, c = (stage.fingerprint for stage in stages)
    expected = [evaluate.fingerprint, b, c, adapt.fingerprint, a]
    assert names_of(searcher, 5) == expected


def test_a_job_is_handed_out_when_it_has_room() -> None:
    """What comes next in line waits for its GPU, and others that need none pass."""
    tunes = [chain("adapt", mark=mark)[0] for mark in "abc"]
    adapt, evaluate = chain("adapt", "evaluate")
    jobs = as_jobs(*tunes, evaluate, paths=[3.0, 2.0, 1.0])
    a, b, c = (stage.fingerprint for stage in tunes)
    bundles = {name: {"CPU": 1.0, "GPU": 0.5} for name in (a, b, c)}
    bundles[evaluate.fingerprint] = {"CPU": 1.0}
    room = Room(Cluster(({"CPU": 3.0, "GPU": 1.0},)))
    searcher = StageSearcher(jobs, [], room=room, bundles=bundles)
    assert names_of(searcher, 3) == [a, b, None]
    searcher._finish([adapt.fingerprint])  # by another driver
    assert searcher.suggest("other") == {"job": evaluate.fingerprint}
    assert searcher.suggest("more") is None
    searcher.on_trial_complete("trial0", {"finished": True})
    assert searcher.suggest("more") == {"job": c}


def test_with_nothing_at_work_a_job_waits_inside_tune_which_names_it() -> None:
    """Its node has left a cluster that starts no other; here it would wait without a word."""
    tunes = [chain("adapt", mark=mark)[0] for mark in "ab"]
    bundles = {stage.fingerprint: {"CPU": 1.0, "GPU": 1.0} for stage in tunes}
    room = Room(Cluster(({"CPU": 4.0},)))
    searcher = StageSearcher(as_jobs(*tunes), [], room=room, bundles=bundles)
    assert names_of(searcher, 2) == [tunes[0].fingerprint, None]


def test_beside_a_group_that_waits_for_gpus_cpus_do_their_work() -> None:
    group, tune = (chain("pretrain", mark=mark)[0] for mark in "ab")
    adapt, evaluate = chain("adapt", "evaluate")
    bundles = {
        group.fingerprint: {"CPU": 1.0, "GPU": 1.0, "workers": 2},
        tune.fingerprint: {"CPU": 1.0, "GPU": 1.0},
        evaluate.fingerprint: {"CPU": 1.0},
    }
    searcher = StageSearcher(
        as_jobs(tune, group, evaluate, paths=[1.0, 9.0]),
        [],
        groups=Groups({group.fingerprint}, lambda: True),
        room=Room(Cluster(({"CPU": 4.0, "GPU": 4.0},))),
        bundles=bundles,
    )
    assert searcher.suggest("group") == {"job": group.fingerprint}
    searcher._finish([adapt.fingerprint])
    assert names_of(searcher, 2) == [evaluate.fingerprint, None]


def test_while_a_group_waits_only_groups_are_handed_out(jobs: dict[str, Job]) -> None:
    *_, last = jobs
    waits = [True, True, False]
    searcher = StageSearcher(
        jobs, done=jobs[last].inputs, groups=Groups({last}, lambda: waits.pop(0))
    )
    assert searcher.suggest("a") == {"job": last}
    assert searcher.suggest("b") is None
    handed = searcher.suggest("b")
    assert isinstance(handed, dict)
    assert handed["job"] != last
