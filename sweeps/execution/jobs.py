"""Units of work of one worker: a stage, or all probes that can be trained in one pass.

Which probes are trained together depends on the study alone, not from what is already done. So a
study that is killed and resumed trains the same heads together and ends in the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fairfm_core.config.adaptation import LinearProbe
from fairfm_core.config.fingerprint import canonical_json
from fairfm_core.stages import Stage

MAX_HEADS = 64
"""Most heads in one pass: beyond this, a second worker is faster than a wider matrix product."""
PER_HEAD = {"lr", "lr_scaling", "weight_decay"}
"""Recipe values that may differ between the heads of one pass, as may seed, sampling and labels."""


@dataclass(frozen=True)
class Job:
    """Stages that are run together."""

    stages: tuple[Stage, ...]
    wanted: tuple[Stage, ...]
    """The stages among them that are not done yet."""

    @cached_property
    def name(self) -> str:
        """The fingerprint of the first stage, unique among the jobs of a study."""
        return self.stages[0].fingerprint

    @cached_property
    def inputs(self) -> set[str]:
        """Fingerprints of the stages that must be done before the job can start."""
        return {need for stage in self.stages for need in stage.inputs.values()}


def make_jobs(stages: Mapping[str, Stage], missing: Mapping[str, Stage]) -> dict[str, Job]:
    """The jobs, by name, that run the `missing` ones of a study's `stages` (by fingerprint)."""
    jobs = [Job((s,), (s,)) for s in missing.values() if not _is_probe(s)]
    for together in _passes(stages):
        wanted = tuple(stage for stage in together if stage.fingerprint in missing)
        if wanted:
            jobs.append(Job(together, wanted))
    return {job.name: job for job in jobs}


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
