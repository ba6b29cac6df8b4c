"""Damaged artifacts of a study, found before a run so that the run makes them again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.cores import usable_cores
from fairfm_core.snapshot import Snapshot, take_snapshot
from fairfm_core.storage.inspection import once_per_machine
from sweeps.planning.plan import StudyPlan


def set_aside_damaged(plan: StudyPlan, store: ArtifactStore) -> list[str]:
    """Make the study's damaged stages unfinished; returns a line for each.

    Predictions, evaluations and whatever the missing stages will read are verified in full, a large
    file once per machine. In an object store they are verified when they are read.
    """
    lines = []
    while found := _damaged(plan, take_snapshot(store)):
        for fingerprint, reason in found.items():
            kind = plan.stages[fingerprint].kind
            store.set_aside(kind, fingerprint)
            lines.append(f"{kind}/{fingerprint} is damaged ({reason}): it will be made again")
    return lines


def _damaged(plan: StudyPlan, snapshot: Snapshot) -> dict[str, str]:
    """What is wrong with each damaged stage of the study, by fingerprint."""
    seen = {f: reason for f, reason in snapshot.damaged.items() if f in plan.stages}
    if not snapshot.store.is_local:
        return seen
    read = sorted(_to_be_read(plan, snapshot) & snapshot.done)
    with ThreadPoolExecutor(usable_cores()) as threads:
        inspections = threads.map(
            lambda f: snapshot.store.inspect(plan.stages[f].kind, f, once_per_machine), read
        )
        damage = {f: each.damage for f, each in zip(read, inspections, strict=True)}
    return seen | {f: reason for f, reason in damage.items() if reason is not None}


def _to_be_read(plan: StudyPlan, snapshot: Snapshot) -> set[str]:
    """Fingerprints of the stages that the run and its front will read."""
    missing = plan.missing(snapshot.reached).values()
    inputs = {need for stage in missing for need in stage.needs}
    ends = {f for t in plan.trials for f in (t.adapt.fingerprint, t.evaluate.fingerprint)}
    return inputs | ends
