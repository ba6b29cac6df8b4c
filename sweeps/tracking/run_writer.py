"""Writes runs to MLflow: found or created by identity, in batches, with the times of the values."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from fairfm_core.stages import EpochValues

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

BATCH = 1000
"""MLflow's limit of metrics in one call."""

LONGEST_DIGEST = 36
"""Characters of a data set's digest."""

IDENTITY = "fairfm.fingerprint"
"""Tag with a run's identity."""

TRACKED = {
    *("loss", "val_auc", "lr", "images_per_second", "data_fraction", "memory_gb"),
    *("gradient_norm", "spread"),
}
"""Values of an epoch that a run shows; each kind of training has some of them."""


def mlflow_key(name: str) -> str:
    """A metric's name with the characters that MLflow allows: `gap_tpr@f1_sex` has no `@` there.

    MLflow takes letters, digits and `_-. :/`: `@` becomes `_at_`, any other one `_`.
    """
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name.replace("@", "_at_"))


class RunWriter:
    """Writes the flat runs of one experiment; every method can safely be called again.

    A run is addressed by its identity, a stage's fingerprint that is kept as a tag. Runs without
    one, which somebody made by hand, are left alone.
    """

    def __init__(self, client: MlflowClient, experiment: str, study: str) -> None:
        self._client = client
        self.experiment = experiment
        self._study = study
        self._runs: dict[str, str] = {}
        self._status: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._tags: dict[str, dict[str, str]] = defaultdict(dict)
        self._params: dict[str, set[str]] = defaultdict(set)
        self._values: dict[str, dict[str, float]] = defaultdict(dict)
        """The latest value of each metric in MLflow."""
        self._data: dict[str, set[str]] = defaultdict(set)
        """Names of the data sets that a run names as its inputs."""
        self._created_here: set[str] = set()
        """Identities whose run this writer has created."""
        self._steps: dict[tuple[str, str], set[int]] = {}
        """Epochs that MLflow holds of each training metric; read on first use."""
        self._unanswered: set[str] = set()
        """Identities whose run was asked for without an answer: it may have been created."""
        self._repeated: list[str] = []
        """Ids of duplicates: runs with the identity of another run."""
        self._read_existing()
        self.deleted = self._identities_of_deleted_runs() - set(self._runs)
        """Identities whose only runs were deleted in MLflow."""

    def _read_existing(self) -> None:
        """Read ids, statuses, names, tags, parameters and latest values of all runs, once."""
        from mlflow.entities import ViewType

        # Of two runs with the same identity, a finished one is preferred, then the older one.
        runs = self._search(ViewType.ACTIVE_ONLY)
        runs.sort(key=lambda run: (run.info.status != "FINISHED", run.info.start_time))
        for run in runs:
            identity = run.data.tags[IDENTITY]
            if identity in self._runs:
                self._repeated.append(run.info.run_id)
                continue
            self._runs[identity] = run.info.run_id
            self._status[identity] = run.info.status
            self._names[identity] = run.info.run_name
            self._tags[identity] = dict(run.data.tags)
            self._params[identity] = set(run.data.params)
            self._values[identity] = {k: v for k, v in run.data.metrics.items() if v == v}
            given = run.inputs.dataset_inputs if run.inputs else ()
            self._data[identity] = {each.dataset.name for each in given}

    def _identities_of_deleted_runs(self) -> set[str]:
        from mlflow.entities import ViewType

        deleted = self._search(ViewType.DELETED_ONLY)
        return {run.data.tags[IDENTITY] for run in deleted}

    def _search(self, view: int) -> list[Run]:
        """All runs of the experiment that have an identity."""
        runs: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment], run_view_type=view, max_results=1000, page_token=token
            )
            runs += [run for run in page if run.data.tags.get(IDENTITY)]
            token = page.token
            if not token:
                return runs

    def run_id(self, identity: str) -> str | None:
        """MLflow's id of this identity's run; None if there is none."""
        return self._runs.get(identity)

    def experiment_tags(self) -> dict[str, str]:
        """The experiment's tags."""
        return dict(self._client.get_experiment(self.experiment).tags)

    def tag_experiment(self, tags: Mapping[str, str]) -> None:
        """Set tags of the experiment."""
        for key, value in tags.items():
            self._client.set_experiment_tag(self.experiment, key, value)

    def finished(self, identity: str) -> bool:
        """Whether the run of this identity exists and is FINISHED."""
        return self._status.get(identity) == "FINISHED"

    def name_all(self, names: Mapping[str, str]) -> None:
        """Give existing runs the names of their identities.

        A run of an identity that is not in `names`, but whose name another run now bears, gets the
        start of its fingerprint added: no two runs of a study have one name.
        """
        taken = set(names.values())
        for identity, old in list(self._names.items()):
            name = names.get(identity, f"{old}.{identity[:8]}" if old in taken else old)
            if name != old:
                self._client.update_run(self._runs[identity], name=name)
                self._names[identity] = name

    def delete_repeated(self) -> int:
        """Delete duplicate runs in MLflow; returns how many there were.

        MLflow keeps deleted runs until `mlflow gc`.
        """
        count = len(self._repeated)
        while self._repeated:
            self._client.delete_run(self._repeated[-1])
            self._repeated.pop()
        return count

    def tag_of(self, identity: str, key: str) -> str | None:
        """The value of a run's tag, or None."""
        return self._tags[identity].get(key)

    def close_stale(self) -> None:
        """End the runs that a killed driver left RUNNING as KILLED; resuming reopens them."""
        for identity, status in list(self._status.items()):
            if status == "RUNNING":
                self.end(identity, "KILLED", int(time.time() * 1000))

    def start(
        self,
        identity: str,
        name: str,
        kind: str,
        tags: Mapping[str, str],
        started: int | None = None,
    ) -> str:
        """The id of this identity's run, which is created or reopened and is then RUNNING.

        A new one has begun at `started` (ms since 1970), by default now.
        """
        if identity not in self._runs:
            own = {IDENTITY: identity, "fairfm.kind": kind, "fairfm.study": self._study}
            self._runs[identity] = self._created(identity, name, {**own, **tags}, started)
            self._created_here.add(identity)
        elif (self._status[identity], self._names[identity]) != ("RUNNING", name):
            self._client.update_run(self._runs[identity], status="RUNNING", name=name)
        self._names[identity] = name
        self._status[identity] = "RUNNING"
        return self._runs[identity]

    def _created(
        self, identity: str, name: str, tags: Mapping[str, str], started: int | None
    ) -> str:
        """The id of a new run, or of the one that an earlier attempt made without its answer.

        MLflow's client would ask a second time by itself when an answer is lost, and make a second
        run: here it asks once, and whoever calls again looks first.
        """
        if identity in self._unanswered:
            wanted = f"tags.`{IDENTITY}` = '{identity}'"
            found = self._client.search_runs([self.experiment], wanted, max_results=1)
            if found:
                return str(found[0].info.run_id)
        self._unanswered.add(identity)
        with patch.dict(os.environ, {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}):
            run = self._client.create_run(
                self.experiment, start_time=started, run_name=name, tags=dict(tags)
            )
        self._unanswered.discard(identity)
        return str(run.info.run_id)

    def params(self, identity: str, values: Mapping[str, str]) -> None:
        """Log the parameters that the run lacks.

        MLflow's never change; the labels of a study may, and the first ones are kept. So are those
        of another driver that writes the same run.
        """
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        held = self._params[identity]
        while missing := {key: values[key] for key in values if key not in held}:
            params = [Param(key, value) for key, value in missing.items()]
            try:
                self._client.log_batch(self._runs[identity], params=params)
                held.update(missing)
            except MlflowException:
                written = set(self._client.get_run(self._runs[identity]).data.params) - held
                if not written:
                    raise
                held |= written  # by another driver, since the run was read

    def expect(self, identity: str, names: Sequence[str]) -> None:
        """Note the numbers that a new run will have, as NaN, before any other is written.

        MLflow's page for comparing runs opens on the metrics that it has held longest: without
        this, on the loss of the first epoch. Nothing is noted in a run that was there before.
        """
        from mlflow.entities import Metric

        if identity not in self._created_here:
            return
        self._created_here.discard(identity)
        # Dated 1970, so that the values are newer whatever a worker's clock says.
        metrics = [Metric(mlflow_key(name), math.nan, 0, 0) for name in names]
        self._client.log_batch(self._runs[identity], metrics=metrics)

    def data(self, identity: str, name: str, digest: str, splits: str) -> None:
        """Name a data set as the run's input, once."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if name in self._data[identity]:
            return
        source = json.dumps({"digest": digest})
        dataset = Dataset(name, digest[:LONGEST_DIGEST], "local", source)
        given = DatasetInput(dataset, [InputTag("mlflow.data.context", splits)])
        self._client.log_inputs(self._runs[identity], [given])
        self._data[identity].add(name)

    def rows(self, identity: str, rows: Sequence[EpochValues]) -> None:
        """Log training rows: `train/<key>`, with the epoch as step and the row's own time.

        An epoch that the run already has is not logged again, even if it was trained twice because
        a worker was killed: MLflow would show two points.
        """
        from mlflow.entities import Metric

        new: dict[tuple[str, int], Metric] = {}
        for row in rows:
            for name, value in row.items():
                key, step = f"train/{name}", int(row["epoch"])
                if name not in TRACKED or not math.isfinite(value):
                    continue
                if step not in self._steps_of(identity, key):
                    new.setdefault((key, step), Metric(key, value, int(row["time"] * 1000), step))
        metrics = list(new.values())
        for start in range(0, len(metrics), BATCH):
            batch = metrics[start : start + BATCH]
            self._client.log_batch(self._runs[identity], metrics=batch)
            for metric in batch:
                self._steps_of(identity, metric.key).add(metric.step)

    def _steps_of(self, identity: str, key: str) -> set[int]:
        """The steps at which the run has this metric; asks MLflow once, for runs found there."""
        if (identity, key) not in self._steps:
            history = (
                self._client.get_metric_history(self._runs[identity], key)
                if key in self._values[identity]
                else []
            )
            self._steps[identity, key] = {metric.step for metric in history}
        return self._steps[identity, key]

    def final(
        self, identity: str, values: EpochValues, timestamp: int, files: Sequence[Path]
    ) -> None:
        """Log final values at step 0, dated `timestamp` (ms since 1970), and their files.

        A value that the run already has is not logged again. If it has a different one, from an
        earlier evaluation, the new one is dated now, so that MLflow shows it as the latest.
        """
        from mlflow.entities import Metric

        known, now = self._values[identity], int(time.time() * 1000)
        new = {mlflow_key(name): value for name, value in values.items() if math.isfinite(value)}
        metrics = [
            Metric(key, value, now if key in known else timestamp, 0)
            for key, value in new.items()
            if known.get(key) != value
        ]
        self._client.log_batch(self._runs[identity], metrics=metrics)
        known.update(new)
        for file in files:
            self._client.log_artifact(self._runs[identity], str(file))

    def config(self, identity: str, config: dict[str, Any]) -> None:
        """Log the full resolved configuration as `config.yaml`."""
        self._client.log_dict(self._runs[identity], config, "config.yaml")

    def tag(self, identity: str, key: str, value: str) -> None:
        """Set one tag of a run."""
        self._client.set_tag(self._runs[identity], key, value)
        self._tags[identity][key] = value

    def untag(self, identity: str, key: str) -> None:
        """Remove a tag of a run, if it has it."""
        if self._tags[identity].pop(key, None) is not None:
            self._client.delete_tag(self._runs[identity], key)

    def end(self, identity: str, status: str, timestamp: int) -> None:
        """End the run with this status at `timestamp` (ms since 1970)."""
        self._client.set_terminated(self._runs[identity], status=status, end_time=timestamp)
        self._status[identity] = status
