"""Writes runs to MLflow: found or created by identity, in batches, with the times of the values."""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairfm_core.stages import EpochValues

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

BATCH = 1000
"""MLflow's limit of metrics in one call."""

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


def quiet_mlflow() -> None:
    """Turn off telemetry and log messages, and give up early on a server that is down."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    # MLflow logs a traceback for each attempt; the writer reports a failure once.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def open_experiment(uri: str, study: str, artifacts: str) -> tuple[MlflowClient, str]:
    """Client and id of the study's experiment, which is created if it is missing.

    Also creates the database, before several processes could try to.
    """
    quiet_mlflow()
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    name = f"fairfm-{study}"
    existing = client.get_experiment_by_name(name)
    if existing is not None:
        return client, str(existing.experiment_id)
    location = Path(artifacts).absolute().as_uri() if uri.startswith("sqlite") else None
    tags = {"mlflow.experimentKind": "custom_model_development"}
    return client, str(client.create_experiment(name, artifact_location=location, tags=tags))


class RunWriter:
    """Writes the flat runs of one experiment; every method can safely be called again.

    A run is addressed by its identity, a stage's fingerprint that is kept as a tag.
    """

    def __init__(self, client: MlflowClient, experiment: str, study: str) -> None:
        self._client = client
        self.experiment = experiment
        self._study = study
        self._runs: dict[str, str] = {}
        self._status: dict[str, str] = {}
        self._tags: dict[str, dict[str, str]] = defaultdict(dict)
        self._params: dict[str, set[str]] = defaultdict(set)
        self._read_existing()

    def _read_existing(self) -> None:
        """Read ids, statuses, tags and names of parameters of all runs, once."""
        token = None
        while True:
            page = self._client.search_runs([self.experiment], max_results=1000, page_token=token)
            for run in page:
                identity = run.data.tags.get("fairfm.fingerprint", "")
                if identity in self._runs:
                    log.warning("two MLflow runs of %s: %s", identity, run.info.run_id)
                self._runs[identity] = run.info.run_id
                self._status[identity] = run.info.status
                self._tags[identity] = dict(run.data.tags)
                self._params[identity] = set(run.data.params)
            token = page.token
            if not token:
                return

    def finished(self, identity: str) -> bool:
        """Whether the run of this identity exists and is FINISHED."""
        return self._status.get(identity) == "FINISHED"

    def tag_of(self, identity: str, key: str) -> str | None:
        """The value of a run's tag, or None."""
        return self._tags[identity].get(key)

    def close_stale(self) -> None:
        """End the runs that a killed driver left RUNNING as KILLED; resuming reopens them."""
        for identity, status in list(self._status.items()):
            if status == "RUNNING":
                self.end(identity, "KILLED", int(time.time() * 1000))

    def start(self, identity: str, name: str, kind: str, tags: Mapping[str, str]) -> str:
        """The id of this identity's run, which is created or reopened and is then RUNNING."""
        if identity in self._runs:
            if self._status[identity] != "RUNNING":
                self._client.update_run(self._runs[identity], status="RUNNING", name=name)
        else:
            own = {"fairfm.fingerprint": identity, "fairfm.kind": kind, "fairfm.study": self._study}
            run = self._client.create_run(self.experiment, run_name=name, tags={**own, **tags})
            self._runs[identity] = run.info.run_id
        self._status[identity] = "RUNNING"
        return self._runs[identity]

    def params(self, identity: str, values: Mapping[str, str]) -> None:
        """Log the parameters that the run lacks.

        MLflow's never change; the labels of a study may, and the first ones are kept.
        """
        from mlflow.entities import Param

        missing = {key: values[key] for key in values if key not in self._params[identity]}
        params = [Param(key, value) for key, value in missing.items()]
        self._client.log_batch(self._runs[identity], params=params)
        self._params[identity].update(missing)

    def rows(self, identity: str, rows: Sequence[EpochValues]) -> None:
        """Log training rows: `train/<key>`, with the epoch as step and the row's own time."""
        from mlflow.entities import Metric

        metrics = [
            Metric(f"train/{key}", value, int(row["time"] * 1000), int(row["epoch"]))
            for row in rows
            for key, value in row.items()
            if key in TRACKED and math.isfinite(value)
        ]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(self._runs[identity], metrics=metrics[start : start + BATCH])

    def final(
        self, identity: str, values: EpochValues, timestamp: int, files: Sequence[Path]
    ) -> None:
        """Log final values at step 0, dated `timestamp` (ms since 1970), and their files."""
        from mlflow.entities import Metric

        metrics = [Metric(mlflow_key(key), value, timestamp, 0) for key, value in values.items()]
        self._client.log_batch(self._runs[identity], metrics=metrics)
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
