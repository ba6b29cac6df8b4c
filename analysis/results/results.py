"""A study's results in a results folder: configurations, their trials, and which are done.

Nothing is written here; predictions and evaluations are read when they are needed. A trial whose
artifacts are damaged is left out, as one that has failed, with the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pyarrow import fs

from analysis.results.number_table import EvaluationSource, NumberTable, held_names
from analysis.results.study_record import (
    AGAIN,
    RECORD,
    STUDIES,
    STUDY_NAME,
    StoredSearch,
    StoredStudy,
    StoredTrial,
    configuration_label,
    read_study_record,
)
from analysis.results.training_runs import StartingPoint, shared_pretrainings, training_runs_of
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.cores import usable_cores
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.predictions import Predictions, join_splits
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.stage import stored_evaluation, stored_predictions
from fairfm_core.evaluation.tables import Evaluation
from fairfm_core.snapshot import Snapshot, take_snapshot
from fairfm_core.storage.inspection import once_per_machine
from fairfm_core.storage.layout import check_schema
from fairfm_core.storage.markers import Marker

NEEDED = ("adapt", "evaluate")
"""Stages whose artifacts an analysis reads."""
HARDWARE = ("device", "precision", "host")
"""What the record of a training says of what computed it."""
NO_STUDY = "holds no study; make one with `fairfm sweep run STUDY`"


@dataclass(frozen=True)
class TrialResult:
    """One trial: its configuration's axes, its seed, its artifacts, and its status."""

    name: str
    axes: dict[str, str]
    seed: int
    group: str
    """Identity of the configuration: the same trial at any seed."""
    adapt: str
    evaluate: str
    digest: str
    labels: str
    """The policy for uncertain labels."""
    done: bool
    failure: str | None
    """Why it failed, if it did; a trial that is neither done nor failed is unfinished."""
    damaged: bool = False
    """Whether it was finished and its artifacts are damaged; `failure` then says how."""
    pretraining_seed: int | None = None
    """Which repetition of its pre-training it starts from; None where the study repeats none."""
    pretraining: str | None = None
    """Fingerprint of its pre-training; None for random or published weights."""
    published: bool = False
    """Whether it starts from published weights."""
    search: StoredSearch | None = None
    """What a search chose for it; None for a cell of the matrix."""

    @property
    def stopped(self) -> str | None:
        """Where its search has stopped the training, in words; None where it has not."""
        return None if self.search is None else self.search.stopped

    @property
    def seeds(self) -> str:
        """Its seeds in short: `1`, or `p0.s1` for adaptation 1 of pre-training 0."""
        before = self.pretraining_seed
        return str(self.seed) if before is None else f"p{before}.s{self.seed}"


@dataclass(frozen=True)
class Configuration:
    """The trials that differ in nothing but their seeds."""

    group: str
    label: str
    axes: dict[str, str]
    trials: tuple[TrialResult, ...]
    both_levels: bool = False
    """Whether the study lists seeds of pre-trainings beside those of adaptations."""

    @property
    def finished(self) -> tuple[TrialResult, ...]:
        """Trials with an evaluation, in the order of their seeds."""
        return tuple(trial for trial in self.trials if trial.done)

    @property
    def missing_seeds(self) -> tuple[str, ...]:
        """Seeds that were planned and have no evaluation."""
        return tuple(trial.seeds for trial in self.trials if not trial.done)

    @property
    def parameters(self) -> dict[str, str]:
        """What a search chose for it, as text by parameter; empty for a cell of the matrix."""
        search = self.trials[0].search
        if search is None:
            return {}
        return {n: c if isinstance(c, str) else f"{c:g}" for n, c in search.parameters.items()}

    @property
    def pretrainings(self) -> int:
        """How many pre-trainings the finished trials start from; 0 for other weights."""
        return len({trial.pretraining for trial in self.finished if trial.pretraining})

    @property
    def training_runs(self) -> TrainingRuns | None:
        """The independent training runs among the finished trials, whose spread intervals cover.

        None where the study lists adaptation seeds alone: intervals are then those of patients.
        """
        return training_runs_of(self.finished, self.both_levels)


@dataclass(frozen=True, eq=False)
class StudyResults:
    """One study of a results folder."""

    store: ArtifactStore
    stored: StoredStudy
    """The study's checked record."""
    record: dict[str, Any]
    """The whole record: claim, resolved specification, data, code version."""
    trials: tuple[TrialResult, ...]
    markers: dict[str, Marker] = field(default_factory=dict)
    """Markers that were read before, by the stage's fingerprint."""

    @property
    def study(self) -> str:
        """Name of the study."""
        return self.stored.study

    @property
    def settings(self) -> EvaluationSettings:
        """How the study's predictions are evaluated."""
        return self.stored.spec.evaluation

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The study's objectives: validation metrics, each with its direction."""
        return self.stored.objectives

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """Configurations in the order of the study, each with its trials by seed; without those
        that a search has stopped."""
        groups: dict[str, list[TrialResult]] = {}
        for trial in self.trials:
            if trial.stopped is None:
                groups.setdefault(trial.group, []).append(trial)
        levels = self.stored.both_levels
        return tuple(_configuration(group, trials, levels) for group, trials in groups.items())

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes that vary, in the order of the study where its record has one."""
        of_trials = (axis for trial in self.trials for axis in trial.axes)
        return tuple(dict.fromkeys([*self.stored.axes, *of_trials]))

    @property
    def shared_pretrainings(self) -> list[str]:
        """What shares one pre-training, one line each."""
        return shared_pretrainings(
            StartingPoint(each.label, trial.pretraining, trial.published)
            for each in self.configurations
            for trial in each.finished
        )

    @property
    def unfinished(self) -> tuple[TrialResult, ...]:
        """Trials without an evaluation, failed or unfinished, that no search has stopped."""
        return tuple(t for t in self.trials if not t.done and t.stopped is None)

    @property
    def stopped(self) -> dict[str, int]:
        """How many trials a search has stopped, by where it has, the earliest first."""
        searches = [trial.search for trial in self.trials if trial.search is not None]
        rungs = sorted((each.until, each.stopped) for each in searches if each.until is not None)
        return dict(Counter(text for _, text in rungs if text is not None))

    def predictions(self, trial: TrialResult) -> Predictions:
        """The trial's predictions of validation and test, in one table."""
        return join_splits(stored_predictions(self.store, trial.adapt))

    def evaluation(self, kind: str, fingerprint: str) -> Evaluation:
        """The tables of a finished artifact, from any filesystem."""
        return stored_evaluation(self.store, kind, fingerprint)

    def replicates(self, trial: TrialResult) -> Evaluation:
        """The trial's evaluation with the tables alone that hold numbers in every draw."""
        return stored_evaluation(self.store, "evaluate", trial.evaluate, ("gaps", "replicates"))

    @cached_property
    def number_table(self) -> NumberTable:
        """The rows of evaluations that are held beside the study."""
        return NumberTable(self.store, self.study, held_names(self.objectives))

    def marker(self, kind: str, fingerprint: str) -> Marker:
        """The marker of a finished stage."""
        known = self.markers.get(fingerprint)
        return known or self.store.artifact(kind, fingerprint).marker

    def source(self, kind: str, fingerprint: str) -> EvaluationSource:
        """A finished evaluation as the number table knows it."""
        return EvaluationSource(fingerprint, self.marker(kind, fingerprint).identity)

    def history(self, trial: TrialResult) -> dict[str, Any]:
        """The trial's training: `history`, one row per epoch, and `best_epoch`; may be empty."""
        stage = self.store.artifact("adapt", trial.adapt)
        return stage.read_json("history.json") if stage.has("history.json") else {}

    def trained_on(self, trial: TrialResult) -> dict[str, str]:
        """Kind of `device`, `precision` and kind of `host`; nothing for older results."""
        hardware = self.marker("adapt", trial.adapt).record.get("hardware") or {}
        return {name: str(hardware[name]) for name in HARDWARE if name in hardware}

    @property
    def left_out(self) -> dict[str, str]:
        """What is wrong with each finished trial whose artifacts are damaged, by its name."""
        return {t.name: t.failure for t in self.trials if t.damaged and t.failure is not None}

    def finished_at(self) -> float | None:
        """When the last trial was done, in seconds since 1970 (UTC)."""
        done = [trial.evaluate for trial in self.trials if trial.done]
        times = [float(self.marker("evaluate", each).record["finished"]) for each in done]
        return max(times, default=None)


def open_results(location: str, study: str | None = None) -> StudyResults:
    """The results of `study` in the folder or URI `location`; None means the only study there.

    Raises BadInput, naming the studies there, for an unknown study, for None where there is not
    exactly one, and for a folder of another schema version.
    """
    store = open_store(location)
    check_schema(store)
    stored, record = read_study_record(store, _chosen(store, study))
    snapshot = take_snapshot(store)
    markers: dict[str, Marker] = {}
    with ThreadPoolExecutor(usable_cores()) as threads:
        trials = tuple(threads.map(lambda trial: _trial(snapshot, trial, markers), stored.trials))
    return StudyResults(store, stored, record, trials, markers)


def known_studies(store: ArtifactStore) -> tuple[str, ...]:
    """Names of the studies that the results folder holds, sorted.

    One whose folder or record is a link that leads out counts too: reading its record says so.
    """
    selector = fs.FileSelector(store.path(STUDIES), allow_not_found=True)
    listed = [Path(info.path).name for info in store.filesystem.get_file_info(selector)]
    names = sorted(name for name in listed if re.match(STUDY_NAME, name))
    return tuple(name for name in names if store.holds(STUDIES, name, RECORD))


def check_study(location: str, study: str, known: Sequence[str]) -> None:
    """Raise BadInput, with the names of those that exist, unless the study is a known one."""
    if not known:
        raise BadInput(f"{location} {NO_STUDY}")
    if study not in known:
        hint = did_you_mean(study, known)
        raise BadInput(f"no study {study!r} in {location}{hint}; it has {', '.join(known)}")


def _chosen(store: ArtifactStore, study: str | None) -> str:
    known = known_studies(store)
    if study is not None:
        check_study(store.location, study, known)
        return study
    if len(known) > 1:
        raise BadInput(f"{store.location} holds several studies; add --study {' or '.join(known)}")
    if not known:
        raise BadInput(f"{store.location} {NO_STUDY}")
    return known[0]


def _trial(snapshot: Snapshot, trial: StoredTrial, markers: dict[str, Marker]) -> TrialResult:
    """One trial; the markers of its stages are added to `markers`."""
    damage = _damage(snapshot, trial, markers)
    done = damage is None and {trial.adapt, trial.evaluate} <= snapshot.done
    data = trial.config.get("data")
    labels = data.get("labels", "u_zeros") if isinstance(data, dict) else "u_zeros"
    return TrialResult(
        name=trial.name,
        axes=trial.axes,
        seed=trial.seed,
        group=trial.group,
        adapt=trial.adapt,
        evaluate=trial.evaluate,
        digest=trial.digest,
        labels=str(labels),
        done=done,
        failure=damage or (None if done else _failure(snapshot, trial)),
        damaged=damage is not None,
        pretraining_seed=trial.pretraining_seed,
        pretraining=trial.pretraining,
        published=trial.published,
        search=trial.search,
    )


def _damage(snapshot: Snapshot, trial: StoredTrial, markers: dict[str, Marker]) -> str | None:
    """What is wrong with the trial's predictions or evaluation, which are read in full."""
    for kind, fingerprint in ((kind, trial.stages[kind]) for kind in NEEDED):
        reason = snapshot.damaged.get(fingerprint)
        if reason is None and fingerprint in snapshot.done and snapshot.store.is_local:
            seen = snapshot.store.inspect(kind, fingerprint, once_per_machine)
            reason = seen.damage
            if seen.marker is not None:
                markers[fingerprint] = seen.marker
        if reason is not None:
            return f"{kind}/{fingerprint} is damaged ({reason})"
    return _mismatch(snapshot, trial, markers)


def _mismatch(snapshot: Snapshot, trial: StoredTrial, markers: dict[str, Marker]) -> str | None:
    """Whether the study's record names another trial's evaluation, by what that says of itself."""
    if trial.evaluate not in snapshot.done:
        return None
    if trial.evaluate not in markers:
        markers[trial.evaluate] = snapshot.store.artifact("evaluate", trial.evaluate).marker
    stage = markers[trial.evaluate].record.get("stage")
    inputs = stage.get("inputs") if isinstance(stage, dict) else None
    evaluated = inputs.get("adapt") if isinstance(inputs, dict) else None
    if evaluated in (None, trial.adapt):
        return None
    return (
        f"study.json is damaged: it names evaluate/{trial.evaluate}, which evaluates "
        f"adapt/{evaluated} and not adapt/{trial.adapt}; {AGAIN}"
    )


def _failure(snapshot: Snapshot, trial: StoredTrial) -> str | None:
    """Kind and reason of the first stage of the trial that failed; None if none did."""
    for kind, fingerprint in trial.stages.items():
        if reason := snapshot.failure(fingerprint):
            return f"{kind}: {reason}"
    return None


def _configuration(group: str, trials: Sequence[TrialResult], both_levels: bool) -> Configuration:
    ordered = tuple(sorted(trials, key=lambda trial: (trial.pretraining_seed or 0, trial.seed)))
    first = ordered[0]
    label = configuration_label(first.name, first.seed, first.pretraining_seed)
    return Configuration(group, label, first.axes, ordered, both_levels)
