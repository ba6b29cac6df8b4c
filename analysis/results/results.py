"""A study's results in a results folder: configurations, their trials, and which are done.

Nothing is written here; predictions and evaluations are read when they are needed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pyarrow import fs

from fairfm_core.artifacts import ArtifactStore, check_schema, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.evaluate import join_splits
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.selection.objectives import Objective, parse_objectives
from fairfm_core.evaluation.stage import stored_predictions
from fairfm_core.evaluation.tables import TABLES, Evaluation, read_evaluation
from fairfm_core.snapshot import Snapshot, take_snapshot

STAGES = ("features", "adapt", "evaluate")


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


@dataclass(frozen=True)
class Configuration:
    """The trials that differ in nothing but their seed."""

    group: str
    label: str
    axes: dict[str, str]
    trials: tuple[TrialResult, ...]

    @property
    def finished(self) -> tuple[TrialResult, ...]:
        """Trials with an evaluation, in the order of their seeds."""
        return tuple(trial for trial in self.trials if trial.done)

    @property
    def missing_seeds(self) -> tuple[int, ...]:
        """Seeds that were planned and have no evaluation."""
        return tuple(trial.seed for trial in self.trials if not trial.done)


@dataclass(frozen=True, eq=False)
class StudyResults:
    """One study of a results folder."""

    store: ArtifactStore
    record: dict[str, Any]
    """The study's record: claim, resolved specification, data, code version."""
    trials: tuple[TrialResult, ...]

    @property
    def study(self) -> str:
        """Name of the study."""
        return str(self.record["study"])

    @cached_property
    def settings(self) -> EvaluationSettings:
        """How the study's predictions are evaluated."""
        return EvaluationSettings(**self.record["spec"]["evaluation"])

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The study's objectives: validation metrics, each with its direction."""
        return parse_objectives(self.record["spec"]["objectives"], self.settings)

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """Configurations in the order of the study, each with its trials by seed."""
        groups: dict[str, list[TrialResult]] = {}
        for trial in self.trials:
            groups.setdefault(trial.group, []).append(trial)
        return tuple(_configuration(group, trials) for group, trials in groups.items())

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes that vary, in the order of the study where its record has one."""
        of_trials = (axis for trial in self.trials for axis in trial.axes)
        return tuple(dict.fromkeys([*self.record.get("axes", ()), *of_trials]))

    @property
    def unfinished(self) -> tuple[TrialResult, ...]:
        """Trials without an evaluation, failed or unfinished."""
        return tuple(trial for trial in self.trials if not trial.done)

    def predictions(self, trial: TrialResult) -> Predictions:
        """The trial's predictions of validation and test, in one table."""
        return join_splits(stored_predictions(self.store, trial.adapt))

    def evaluation(self, kind: str, fingerprint: str) -> Evaluation:
        """The tables of a finished artifact, from any filesystem."""
        with tempfile.TemporaryDirectory(prefix="fairfm-") as scratch:
            for table in TABLES.values():
                if not table.newer or self.store.exists(kind, fingerprint, table.file):
                    content = self.store.read_bytes(kind, fingerprint, table.file)
                    (Path(scratch) / table.file).write_bytes(content)
            return read_evaluation(Path(scratch))

    def history(self, trial: TrialResult) -> dict[str, Any]:
        """The trial's training: `history`, one row per epoch, and `best_epoch`; may be empty."""
        if not self.store.exists("adapt", trial.adapt, "history.json"):
            return {}
        history: dict[str, Any] = self.store.read_json("adapt", trial.adapt, "history.json")
        return history

    def finished_at(self) -> float | None:
        """When the last trial was done, in seconds since 1970 (UTC)."""
        done = [trial.evaluate for trial in self.trials if trial.done]
        times = [float(self.store.done_record("evaluate", each)["finished"]) for each in done]
        return max(times, default=None)


def open_results(location: str, study: str | None = None) -> StudyResults:
    """The results of `study` in the folder or URI `location`; None means the only study there.

    Raises BadInput, naming the studies there, for an unknown study, for None where there is not
    exactly one, and for a folder of another schema version.
    """
    store = open_store(location)
    check_schema(store)
    record = store.read_json("studies", _chosen(store, study), "study.json")
    snapshot = take_snapshot(store)
    trials = tuple(_trial(snapshot, trial) for trial in record["trials"])
    return StudyResults(store, record, trials)


def known_studies(store: ArtifactStore) -> tuple[str, ...]:
    """Names of the studies that the results folder holds, sorted."""
    selector = fs.FileSelector(store.path("studies"), allow_not_found=True)
    names = [Path(info.path).name for info in store.filesystem.get_file_info(selector)]
    return tuple(sorted(name for name in names if store.exists("studies", name, "study.json")))


def _chosen(store: ArtifactStore, study: str | None) -> str:
    known = known_studies(store)
    if not known:
        raise BadInput(f"{store.location} holds no study; make one with `fairfm sweep run STUDY`")
    if study is None and len(known) > 1:
        raise BadInput(f"{store.location} holds several studies; add --study {' or '.join(known)}")
    if study is not None and study not in known:
        hint = did_you_mean(study, known)
        raise BadInput(f"no study {study!r} in {store.location}{hint}; it has {', '.join(known)}")
    return study or known[0]


def _trial(snapshot: Snapshot, record: dict[str, Any]) -> TrialResult:
    done = record["evaluate"] in snapshot.done
    failure = None if done else _failure(snapshot, record)
    keys = ("name", "seed", "group", "adapt", "evaluate", "digest")
    labels = str(record["config"].get("data", {}).get("labels", "u_zeros"))
    return TrialResult(
        axes=dict(record["axes"]),
        labels=labels,
        done=done,
        failure=failure,
        **{key: record[key] for key in keys},
    )


def _failure(snapshot: Snapshot, record: dict[str, Any]) -> str | None:
    """Kind and reason of the first stage of the trial that failed; None if none did."""
    for kind in STAGES:
        if kind in record and (reason := snapshot.failure(record[kind])):
            return f"{kind}: {reason}"
    return None


def _configuration(group: str, trials: Sequence[TrialResult]) -> Configuration:
    ordered = tuple(sorted(trials, key=lambda trial: trial.seed))
    first = ordered[0]
    label = first.name.removesuffix(f"s{first.seed}").rstrip(".") or "base"
    return Configuration(group, label, first.axes, ordered)
