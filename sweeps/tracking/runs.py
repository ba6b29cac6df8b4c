"""A study's MLflow runs: where they are kept, when they are written, and what each one holds.

There is one run for each trial and one for each pre-training, beside the trials that start from it.
Everything that is logged comes from stored artifacts, so a run can be written again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from typing import Any

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.resolving import SCRATCH
from fairfm_core.evaluation.stage import evaluation_files, stored_evaluation
from fairfm_core.evaluation.summary import final_metrics
from fairfm_core.models.weights.provenance import COVERAGE
from fairfm_core.storage.artifact import Artifact
from sweeps.planning.comparison import statistics_text
from sweeps.planning.plan import StudyPlan
from sweeps.planning.records import PretrainingRecord, RunRecord, TrialRecord
from sweeps.planning.tracking_uri import without_password
from sweeps.search.space import label_text
from sweeps.tracking.destination import own_database
from sweeps.tracking.experiment import open_experiment
from sweeps.tracking.run_writer import RunWriter
from sweeps.tracking.study_page import TrackedStudy, user, viewed, write_page, write_results
from sweeps.tracking.thread import Replay, TrackingThread, reason_of, say

EVALUATED = "fairfm.evaluate"
"""Tag of a trial's run: the fingerprint of the evaluation whose values it holds."""
REASON = "fairfm.status_reason"
"""Tag of a failed run: why it failed."""
SPLITS = "train, val, test"
"""What a trial uses of its data set."""
HARDWARE = ("device", "precision", "host", "workers")
"""What a stage's record says of what computed it."""
PRETRAINING_PARAMETERS = ("method", "epochs", "fraction", "batch_size", "base_lr", "seed")
"""Values of a pre-training's recipe that its run shows as parameters."""


def open_writer(store: ArtifactStore, study: str, uri: str) -> tuple[RunWriter, list[str]]:
    """The writer of a study's experiment, and lines on what had to be repaired.

    Creates database and experiment where they are missing. Raises MlflowException when `uri` cannot
    be opened, BadInput for a database that cannot be used.
    """
    owned = own_database(uri, store) is not None
    client, experiment, notes = open_experiment(uri, study, owned)
    return RunWriter(client, experiment, study), notes


def open_tracking(
    plan: StudyPlan, done: Set[str], store: ArtifactStore, uri: str
) -> TrackingThread:
    """Start the tracking thread, which opens MLflow and first writes finished runs that it lacks.

    `done` are the fingerprints of finished stages. MLflow that cannot be opened ends no sweep: the
    thread says so in one line on stderr and tries again.
    """
    records: list[RunRecord] = [*plan.pretrainings, *(trial.record for trial in plan.trials)]
    objectives = [objective.name for objective in plan.spec.objectives]
    view = viewed(records, objectives, plan.spec.evaluation.attributes)
    study = TrackedStudy(plan.spec.study, plan.spec.claim, view)

    def opened() -> tuple[RunWriter, list[Replay]]:
        writer, notes = open_writer(store, plan.spec.study, uri)
        write_page(writer, study)
        writer.close_stale()
        writer.name_all({record.identity: record.name for record in records})
        finished = [record for record in records if is_finished(record, done)]
        deleted = [record for record in finished if record.identity in writer.deleted]
        if deleted:
            notes.append(deleted_line(len(deleted)))
        for note in notes:
            say(note)
        return writer, [r for r in finished if r not in deleted and not _is_logged(writer, r)]

    return TrackingThread(
        opened,
        without_password(uri),
        records,
        lambda writer, record: log_run(writer, record, store, objectives),
        lambda writer, record: start_run(writer, record, objectives),
        done,
    )


def deleted_line(count: int) -> str:
    """One line about finished runs that were deleted in MLflow."""
    if count == 1:
        return "1 finished run was deleted: it stays deleted until `fairfm track sync`"
    return f"{count} finished runs were deleted: they stay deleted until `fairfm track sync`"


def is_finished(record: RunRecord, done: Set[str]) -> bool:
    """Whether the stages that a run is written from are among the finished ones."""
    return done >= set(record.sources)


def _is_logged(writer: RunWriter, record: RunRecord) -> bool:
    """Whether MLflow holds the finished run, with the values of its current evaluation."""
    if not writer.finished(record.identity):
        return False
    evaluated = writer.tag_of(record.identity, EVALUATED)
    return not isinstance(record, TrialRecord) or evaluated == record.evaluate


def publish_results(store: ArtifactStore, study: str, uri: str) -> str | None:
    """Write the report, the front and its members' tags to MLflow; why not, if it fails.

    MLflow that is away ends nothing: `fairfm track sync` writes them later.
    """
    try:
        writer, _ = open_writer(store, study, uri)
        write_results(writer, store, study)
    except Exception as error:  # the tracker's boundary: a view of the results must not fail a run
        return reason_of(error)
    return None


@contextmanager
def close_tracking(tracker: TrackingThread) -> Iterator[None]:
    """Write what is queued when the block ends; after an exception, open runs end as KILLED."""
    try:
        yield
    except BaseException:
        tracker.close(killed=True)
        raise
    tracker.close(killed=False)


def start_run(writer: RunWriter, record: RunRecord, objectives: Sequence[str] = ()) -> None:
    """Find or create the run of a trial or a pre-training and log its parameters.

    A new trial's run says that it will have the `objectives`.
    """
    if isinstance(record, TrialRecord):
        start_trial(writer, record)
        writer.expect(record.adapt, [f"val/{name}" for name in objectives])
    else:
        start_pretraining(writer, record)


def log_run(
    writer: RunWriter, record: RunRecord, store: ArtifactStore, objectives: Sequence[str] = ()
) -> None:
    """Write a finished trial or pre-training from its artifacts; `objectives` as in `log_trial`."""
    if isinstance(record, TrialRecord):
        log_trial(writer, record, store, objectives)
    else:
        log_pretraining(writer, record, store)


def start_trial(writer: RunWriter, trial: TrialRecord, started: int | None = None) -> None:
    """Find or create the trial's run and log its axes, seed, images and training as parameters."""
    tags = {"fairfm.group": trial.group, **user()}
    writer.start(trial.adapt, trial.name, "trial", tags, started)
    axes = {axis.rsplit(".", 1)[-1]: label for axis, label in trial.axes.items()}
    terms = terms_of(trial.config)
    seeds = {"seed": str(trial.seed)}
    if trial.pretraining_seed is not None:
        seeds["pretraining_seed"] = str(trial.pretraining_seed)
    chosen = (trial.search or {}).get("parameters", {})
    searched = {name: label_text(choice) for name, choice in chosen.items()}
    writer.params(trial.adapt, {**axes, **searched, **seeds, **terms})
    if "data" in trial.config:
        writer.data(trial.adapt, str(trial.config["data"]["dataset"]), trial.digest, SPLITS)


def log_trial(
    writer: RunWriter, trial: TrialRecord, store: ArtifactStore, objectives: Sequence[str] = ()
) -> None:
    """Write a finished trial from its artifacts: the same values and times every time.

    The study's `objectives` are logged beside the usual numbers, by name: `gap_ece_sex`.
    """
    complete = writer.finished(trial.adapt)
    adapted = store.artifact("adapt", trial.adapt)
    history = adapted.read_json("history.json")["history"]
    start_trial(writer, trial, begun(history))
    timestamp = int(store.done_record("evaluate", trial.evaluate)["finished"] * 1000)
    evaluated = store.artifact("evaluate", trial.evaluate)
    with ExitStack() as opened:
        copies = map(evaluated.local_copy, evaluation_files(evaluated))
        tables = [opened.enter_context(copy) for copy in copies]
        evaluation = stored_evaluation(store, "evaluate", trial.evaluate)
        values = final_metrics(evaluation, objectives)
        values["cost/training_seconds"] = sum(row["seconds"] for row in history)
        writer.final(trial.adapt, values, timestamp, tables)
    if not complete:
        writer.rows(trial.adapt, history)  # after the final ones, as `RunWriter.expect` explains
    writer.params(trial.adapt, loaded_weights(trial, store) | computed_on(adapted))
    writer.config(trial.adapt, trial.config)
    writer.tag(trial.adapt, EVALUATED, trial.evaluate)
    writer.untag(trial.adapt, REASON)
    writer.end(trial.adapt, "FINISHED", timestamp)


def begun(history: Sequence[Mapping[str, float]]) -> int | None:
    """When the first epoch of a training began, in ms since 1970; None without epochs."""
    if not history:
        return None
    return int(1000 * (history[0]["time"] - history[0].get("seconds", 0.0)))


def terms_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Parameters that say how the trial sees its images and how long it trains."""
    if "backbone" not in config or "adaptation" not in config:
        return {}
    backbone, adaptation = Backbone.model_validate(config["backbone"]), config["adaptation"]
    return {
        "images.crop": f"{backbone.crop_pct:g}",
        "images.normalisation": statistics_text(backbone),
        "images.interpolation": backbone.interpolation,
        "training.epochs": str(adaptation["epochs"]),
        "training.batch_size": str(adaptation["batch_size"]),
    }


def computed_on(stage: Artifact) -> dict[str, str]:
    """Parameters that name the kind of device, the precision and the kind of host of a training.

    Results of older versions do not say.
    """
    hardware = stage.marker.record.get("hardware") or {}
    return {name: str(hardware[name]) for name in HARDWARE if name in hardware}


def loaded_weights(trial: TrialRecord, store: ArtifactStore) -> dict[str, str]:
    """Parameters that name the trial's initial weights, their SHA-256 and how much was loaded."""
    if trial.weights is None:
        return {"weights": SCRATCH}
    coverage = store.artifact("adapt", trial.adapt).read_json(COVERAGE)
    return {
        "weights": _weights_name(trial.config),
        "weights_sha256": coverage["source_sha256"],
        "weights_loaded": f"{coverage['loaded']} tensors, {coverage['parameters']:,} parameters",
    }


def _weights_name(config: dict[str, Any]) -> str:
    """A published model's name, or method, length and corpora of a pre-training."""
    if config["weights"] is not None:
        return str(config["weights"]["model"])
    recipe = config["pretraining"]
    share = "" if recipe["fraction"] == 1 else f" {recipe['fraction']:.0%} of"
    return f"{recipe['method']}, {recipe['epochs']} epochs on{share} {'+'.join(recipe['corpora'])}"


def start_pretraining(
    writer: RunWriter, record: PretrainingRecord, started: int | None = None
) -> None:
    """Find or create the pre-training's run and log its recipe and corpora as parameters."""
    writer.start(record.identity, record.name, "pretraining", user(), started)
    values = {name: str(record.config[name]) for name in PRETRAINING_PARAMETERS}
    writer.params(record.identity, {**values, "corpora": "+".join(record.config["corpora"])})


def log_pretraining(writer: RunWriter, record: PretrainingRecord, store: ArtifactStore) -> None:
    """Write a finished pre-training from its artifact: the same values and times every time."""
    complete = writer.finished(record.identity)
    pretrained = store.artifact("pretrain", record.identity)
    stored = pretrained.read_json("history.json")
    start_pretraining(writer, record, begun(stored["history"]))
    if not complete:
        writer.rows(record.identity, stored["history"])
    timestamp = int(store.done_record("pretrain", record.identity)["finished"] * 1000)
    kept = next(row for row in stored["history"] if row["epoch"] == stored["kept_epoch"])
    values = {
        "kept/epoch": float(stored["kept_epoch"]),
        "kept/loss": kept["loss"],
        "cost/training_seconds": sum(row["seconds"] for row in stored["history"]),
    }
    writer.final(record.identity, values, timestamp, [])
    writer.params(record.identity, computed_on(pretrained))
    writer.config(record.identity, record.config)
    writer.end(record.identity, "FINISHED", timestamp)
