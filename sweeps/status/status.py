"""Where a study stands: what is done, half done, failed and to do, and what the rest costs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from analysis.results.study_record import rung_text
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.data.corpora.corpus import corpus_text
from fairfm_core.snapshot import Snapshot, take_snapshot
from fairfm_core.stages import Stage
from fairfm_core.storage.layout import check_schema
from sweeps.claims.claims import Driver, claimed
from sweeps.planning.corpora import corpus_of
from sweeps.planning.plan import StudyPlan
from sweeps.planning.planned_trial import PlannedTrial
from sweeps.planning.study import StudySpec
from sweeps.search.halving import Rung
from sweeps.status.image_passes import image_passes
from sweeps.status.network_check import count_parameters
from sweeps.status.networks import Network
from sweeps.status.precision import as_begun
from sweeps.status.pretraining_networks import PretrainingNetwork, count_pretrainings
from sweeps.status.search_outlook import SearchOutlook, search_outlook
from sweeps.status.study_search import advanced, open_search, searched_plan
from sweeps.status.worker_time import work_of, worker_time

MOST_LISTED = 60
"""Trials that are listed one by one; of more, some are listed and the rest counted."""
QUIET = ("done", "to do", "paused")
"""How states begin that are not worth a line where there are many trials."""


@dataclass(frozen=True, eq=False, repr=False)
class StudyStatus:
    """A study's plan against a snapshot of its results."""

    plan: StudyPlan
    snapshot: Snapshot
    networks: Sequence[Network] = ()
    """The distinct networks, where they were counted."""
    pretrainings: Sequence[PretrainingNetwork] = ()
    """The distinct networks of pre-training as one worker holds them, where they were counted."""
    holders: Mapping[str, Driver] = field(default_factory=dict)
    """Who is at work on missing stages, by fingerprint, where that was looked up."""
    outlook: SearchOutlook | None = None
    """What a search may still ask for, where that was estimated."""
    lost: str = ""
    """What the journal of the study's search lacks, in words."""

    def __repr__(self) -> str:
        return f"<StudyStatus {self._summary()}>"

    @cached_property
    def done(self) -> frozenset[str]:
        """Fingerprints of the study's finished stages."""
        return self.snapshot.done & self.plan.stages.keys()

    @cached_property
    def missing(self) -> dict[str, Stage]:
        """Stages that unfinished trials still need, by fingerprint, inputs before consumers."""
        return self.plan.missing(self.snapshot.reached)

    @cached_property
    def begun(self) -> dict[str, int]:
        """Whole epochs behind the missing stages that have a checkpoint, by fingerprint."""
        epochs = ((fingerprint, self.snapshot.epoch(fingerprint)) for fingerprint in self.missing)
        return {fingerprint: epoch for fingerprint, epoch in epochs if epoch is not None}

    @cached_property
    def failures(self) -> dict[str, str]:
        """Why each failed stage of the study failed, by fingerprint; read once each."""
        reasons = ((f, self.snapshot.failure(f)) for f in self.plan.stages)
        return {fingerprint: reason for fingerprint, reason in reasons if reason is not None}

    @cached_property
    def damaged(self) -> dict[str, str]:
        """What is wrong with each missing stage that was finished, by fingerprint."""
        return {f: r for f, r in self.snapshot.damaged.items() if f in self.missing}

    @cached_property
    def states(self) -> dict[str, str]:
        """The state of each trial in words, by its name, in the order of the study."""
        return {trial.name: self.state(trial) for trial in self.plan.trials}

    @cached_property
    def unfinished(self) -> dict[str, str]:
        """Why each trial that is not finished, though it is wanted, is not: `<stage>: <reason>`, by
        its name."""
        wanted = [trial for trial in self.plan.trials if self.is_open(trial)]
        return {trial.name: self._reason(trial) for trial in wanted}

    def is_open(self, trial: PlannedTrial) -> bool:
        """Whether something of a trial is still to be run."""
        return not trial.is_done(self.done) and not self.is_stopped(trial)

    def is_stopped(self, trial: PlannedTrial) -> bool:
        """Whether a search has paused its training, and has not asked for more of it."""
        return self.plan.is_stopped(trial, self.snapshot.reached)

    @cached_property
    def stopped(self) -> dict[str, int]:
        """How many trials have paused, by where they have, the earliest first."""
        at = [self.plan.pause_of(each) for each in self.plan.trials if self.is_stopped(each)]
        return dict(Counter(self._place(rung) for rung in sorted(r for r in at if r is not None)))

    def _place(self, rung: Rung) -> str:
        """A rung of the study's search in words: `after epoch 2`."""
        return rung_text(self.plan.fidelity, rung)

    @cached_property
    def _postponed(self) -> set[str]:
        """Stages that a search does not want yet, as it pauses their training runs before them."""
        pausing = [each for each in self.plan.trials if self.plan.pause_of(each) is not None]
        whole = {stage.fingerprint for trial in pausing for stage in trial.stages}
        return whole - self.done - self.missing.keys()

    def state(self, trial: PlannedTrial) -> str:
        """One trial's state in words."""
        if trial.is_done(self.done):
            return "done"
        pause, stages = self.plan.pause_of(trial), self.plan.stages_of(trial)
        if pause is not None and self.is_stopped(trial):
            return f"paused: by the search, {self._place(pause)}"
        for stage in stages:
            if stage.fingerprint in self.damaged:
                reason = self.damaged[stage.fingerprint]
                return f"damaged: {stage.kind}: {reason}; the next run makes it again"
        for stage in stages:
            if stage.fingerprint in self.holders:
                epoch = self.begun.get(stage.fingerprint)
                after = f", after epoch {epoch}" if epoch else ""
                holder = self.holders[stage.fingerprint].text
                return f"running: {stage.kind}{after} ({holder})"
        for stage in stages:
            if stage.fingerprint in self.failures:
                return f"failed: {stage.kind}: {self.failures[stage.fingerprint]}"
        for stage in stages:
            if stage.fingerprint in self.begun:
                return f"half done: {stage.kind}, after epoch {self.begun[stage.fingerprint]}"
        return "to do"

    def plan_text(self) -> str:
        """Trials, data, networks, corpora, stages by kind, and what the missing ones cost."""
        lines = [f"study {self.plan.spec.study}: {len(self.plan.trials)} trials"]
        lines += _some([f"  {state:10} {name}" for name, state in self.states.items()])
        lines += _some([f"  {name} is the same work as {first}" for name, first in self.plan.same])
        unsealed = self._unsealed()
        lines += ["data:", *(f"  {line}" for line in unsealed)] if unsealed else []
        if seeds := self.plan.seed_lines:
            lines += ["seeds:", *(f"  {line}" for line in seeds)]
        lines += self.plan.terms.text()
        lines += ["networks:", *(f"  {network.text()}" for network in self.networks)]
        if self.pretrainings:
            lines += ["pre-trainings:", *(f"  {each.text()}" for each in self.pretrainings)]
        if corpora := self._corpora():
            lines += ["corpora:", *(f"  {line}" for line in corpora)]
        lines += ["distinct stages (kind: all, done, to run, image passes to run):"]
        for kind, stages in self._by_kind().items():
            missing = [s for s in stages if s.fingerprint in self.missing]
            later = sum(stage.fingerprint in self._postponed for stage in stages)
            passes = sum(self.image_passes(s) for s in missing)
            done = len(stages) - len(missing) - later
            lines.append(f"  {kind}: {len(stages)}, {done}, {len(missing)}, {passes:,}")
        lines += [] if self.outlook is None else self.outlook.text()
        return "\n".join([*lines, self._time_text()])

    def status_text(self) -> str:
        """The number of finished and failed trials, then one line for each trial."""
        ranked = sorted(self.states.items(), key=lambda trial: trial[1].startswith(QUIET))
        shown = self.states.items() if len(ranked) <= MOST_LISTED else ranked
        trials = _some([f"  {name}: {state}" for name, state in shown])
        notes = [f"search: {self.lost}"] if self.lost else []
        return "\n".join([f"study {self._summary()}", *notes, *trials])

    def as_json(self) -> dict[str, Any]:
        """What both texts say, as JSON values; memory in bytes."""
        return {
            "study": self.plan.spec.study,
            "trials": [
                {"name": t.name, "fingerprint": t.adapt.fingerprint, "state": self.states[t.name]}
                for t in self.plan.trials
            ],
            "stages": {
                kind: {
                    "all": len(stages),
                    "done": sum(s.fingerprint in self.done for s in stages),
                }
                for kind, stages in self._by_kind().items()
            },
            "networks": [network.as_json() for network in self.networks],
            "pretrainings": [each.as_json() for each in self.pretrainings],
            "corpora": self._corpora(),
            "seeds": self.plan.seed_lines,
            "comparison": self.plan.terms.as_json(),
            **({} if self.outlook is None else {"search": self.outlook.as_json()}),
        }

    def image_passes(self, stage: Stage) -> int:
        """Images that the stage sends through a network: its cost, whatever the hardware."""
        return image_passes(stage, self.plan.data.values())

    def _unsealed(self) -> list[str]:
        """Why the images of some data sets and corpora are read unverified."""
        reasons = [data.unsealed for data in self.plan.data.values()]
        for stage in self._by_kind().get("pretrain", []):
            reasons += [part.unsealed for part in corpus_of(stage).parts.values()]
        return [reason for reason in dict.fromkeys(reasons) if reason]

    def _corpora(self) -> list[str]:
        """Each distinct corpus of the pre-trainings, with the patients left out of it."""
        stages = self._by_kind().get("pretrain", [])
        return list(dict.fromkeys(corpus_text(corpus_of(stage)) for stage in stages))

    def _by_kind(self) -> dict[str, list[Stage]]:
        kinds: dict[str, list[Stage]] = defaultdict(list)
        for stage in self.plan.stages.values():
            kinds[stage.kind].append(stage)
        return dict(kinds)

    def _reason(self, trial: PlannedTrial) -> str:
        """Why an unfinished trial is not finished."""
        stages = self.plan.stages_of(trial)
        missing = [stage for stage in stages if stage.fingerprint in self.missing]
        failed = [stage for stage in missing if stage.fingerprint in self.failures]
        if failed:
            return f"{failed[0].kind}: {self.failures[failed[0].fingerprint]}"
        return f"{missing[0].kind}: not run"

    def _summary(self) -> str:
        states = list(self.states.values())
        failed, damaged = (
            sum(state.startswith(word) for state in states) for word in ("failed", "damaged")
        )
        more = f", {damaged} damaged" if damaged else ""
        done = f"{states.count('done')} of {len(states)} done"
        return f"{self.plan.spec.study}: {done}, {failed} failed{more}{self._stopped_text()}"

    def _stopped_text(self) -> str:
        """How many trials a search has paused, and where; empty without any."""
        if not self.stopped:
            return ""
        places = ", ".join(f"{count} {place}" for place, count in self.stopped.items())
        return f", {sum(self.stopped.values())} paused ({places})"

    def _time_text(self) -> str:
        return worker_time(self._measured(), list(self.missing.values()))

    def _measured(self) -> Iterator[tuple[Stage, float]]:
        """Finished stages that do the same work as missing ones, with the seconds they took."""
        wanted = {work_of(stage) for stage in self.missing.values()}
        for fingerprint, stage in self.plan.stages.items():
            if fingerprint in self.done and work_of(stage) in wanted:
                yield stage, self.snapshot.store.done_record(stage.kind, fingerprint)["seconds"]


def _some(lines: list[str]) -> list[str]:
    """The lines, or the first of many with the number of the rest."""
    rest = len(lines) - MOST_LISTED
    return lines if rest <= 0 else [*lines[:MOST_LISTED], f"  ... {rest:,} more (all: --json)"]


def study_status(spec: StudySpec, store: ArtifactStore) -> StudyStatus:
    """How the study stands in `store`, which is read once; nothing is started.

    Raises BadInput for a study that could not run, or a store of another schema version.
    """
    spec = as_begun(spec, store)
    search = open_search(spec, store)
    plan, lost = searched_plan(spec, search), search.journal.lost if search else ""
    check_schema(store)
    status = StudyStatus(plan, take_snapshot(store), lost=lost)
    return replace(status, holders=claimed(store, status.missing))


def with_next_round(status: StudyStatus) -> StudyStatus:
    """The study with what its search would ask for next and an outlook on the rest; writes nothing.

    Raises BadInput if a configuration that it may ask for is not possible.
    """
    study, store = status.plan.spec, status.snapshot.store
    search = open_search(study, store)
    assert search is not None, "the study has a search"
    plan = advanced(study, search, status.plan, store, status.snapshot.reached, {})
    return replace(status, plan=plan, outlook=search_outlook(study, search, plan))


def study_cost(spec: StudySpec, store: ArtifactStore) -> StudyStatus:
    """As `study_status`, with the memory of each distinct network.

    Builds every network, without allocating memory; raises BadInput if one cannot be built.
    """
    status = study_status(spec, store)
    if spec.search is not None:
        status = with_next_round(status)
    networks = count_parameters(status.plan.trained)
    stages, workers = status.plan.stages.values(), status.plan.spec.resources.workers
    return replace(status, networks=networks, pretrainings=count_pretrainings(stages, workers))
