"""Units of work of one worker: a stage, or all probes that can be trained in one pass.

Which probes are trained together depends on the study alone, not from what is already done. So a
study that is killed and resumed trains the same heads together and ends in the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property

from fairfm_core.config.adaptation import LinearProbe
from fairfm_core.config.fingerprint import canonical_json
from fairfm_core.stages import Stage, pause_mark
from sweeps.planning.plan import StudyPlan

MAX_HEADS = 64
"""Most heads in one pass: beyond this, a second worker is faster than a wider matrix product."""
PER_HEAD = {"lr", "lr_scaling", "weight_decay"}
"""Recipe values that may differ between the heads of one pass, as may seed, sampling and labels."""

AT_ONCE = {"evaluate": 0, "weights": 1}
"""Kinds of stages that take a moment: trials finish early, and others can begin."""


@dataclass(frozen=True)
class Job:
    """Stages that are run together."""

    stages: tuple[Stage, ...]
    wanted: tuple[Stage, ...]
    """The stages among them that are not done yet."""
    path: float = 0.0
    """Seconds from its start to the end of the last job that waits for it, as expected."""

    @cached_property
    def name(self) -> str:
        """The fingerprint of the first stage, unique among the jobs of a study."""
        return self.stages[0].fingerprint

    @cached_property
    def inputs(self) -> set[str]:
        """Fingerprints of the stages that must be done before the job can start."""
        return {need for stage in self.stages for need in stage.needs}


def outcome(stage: Stage) -> str:
    """What is done when a stage has ended well: the stage, or the training up to its pause."""
    if stage.pause_after is None:
        return stage.fingerprint
    return pause_mark(stage.fingerprint, stage.pause_after)


@dataclass(frozen=True)
class Growth:
    """Jobs that a search has asked for while the run is going on."""

    jobs: Mapping[str, Job]
    bundles: Mapping[str, Mapping[str, float]]
    """Resource bundle by job."""


Grow = Callable[[Set[str], Mapping[str, str]], "Growth | None"]
"""What is to be done next, from the fingerprints of finished stages and the reasons of those that
will not finish: no jobs while a search waits for values, None when nothing more will come."""


def make_jobs(stages: Mapping[str, Stage], missing: Mapping[str, Stage]) -> dict[str, Job]:
    """The jobs, by name, that run the `missing` ones of a study's `stages` (by fingerprint)."""
    jobs = [Job((s,), (s,)) for s in missing.values() if not _is_probe(s)]
    for together in _passes(stages):
        wanted = tuple(stage for stage in together if stage.fingerprint in missing)
        if wanted:
            jobs.append(Job(together, wanted))
    return {job.name: job for job in jobs}


def study_jobs(plan: StudyPlan, missing: Mapping[str, Stage]) -> dict[str, Job]:
    """The jobs, by name, that run the `missing` stages of a plan.

    Probes that a search has asked for in one round are trained together, never those of two rounds:
    so what is trained together does not depend on interruptions.
    """
    rounds: dict[int, dict[str, Stage]] = {}
    seen: set[str] = set()
    for trial in sorted(plan.trials, key=lambda trial: trial.round):
        stages_of = plan.stages_of(trial)
        new = {stage.fingerprint: stage for stage in stages_of if stage.fingerprint not in seen}
        rounds.setdefault(trial.round, {}).update(new)
        seen |= new.keys()
    jobs: dict[str, Job] = {}
    for stages in rounds.values():
        jobs |= make_jobs(stages, {f: stage for f, stage in missing.items() if f in stages})
    return jobs


def _passes(stages: Mapping[str, Stage]) -> list[tuple[Stage, ...]]:
    """The study's probes in groups that are trained together, in the order of the study."""
    groups: dict[str, list[Stage]] = {}
    for stage in stages.values():
        if _is_probe(stage):
            groups.setdefault(_shared(stage), []).append(stage)
    return [
        tuple(group[start : start + MAX_HEADS])
        for group in groups.values()
        for start in range(0, len(group), MAX_HEADS)
    ]


def _shared(stage: Stage) -> str:
    """A key that is equal for probes whose heads can be trained in one pass."""
    recipe = LinearProbe.model_validate(stage.config["adaptation"])
    values = recipe.model_dump(mode="json", exclude=PER_HEAD)
    return canonical_json([stage.inputs, stage.digest, stage.config["pathologies"], values])


def _is_probe(stage: Stage) -> bool:
    return bool(stage.config.get("adaptation", {}).get("method") == "linear_probe")


def tier(stage: Stage) -> int:
    """Rank of the stage's kind among those that are ready; the smallest goes first."""
    return AT_ONCE.get(stage.kind, len(AT_ONCE))


def place_in_line(job: Job) -> tuple[int, float]:
    """Where a job stands among those that are ready, the smallest first: what takes a moment, then
    what is on the longest path."""
    return tier(job.stages[0]), -job.path


def on_paths(jobs: Mapping[str, Job], paths: Mapping[str, float]) -> dict[str, Job]:
    """The jobs with the `paths` of their names."""
    return {name: replace(job, path=paths[name]) for name, job in jobs.items()}
