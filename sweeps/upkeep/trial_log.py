"""What happened to a trial, or to a stage that trials share: states, folders, epochs, reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.results.numbers import POINTS
from analysis.results.results import check_study, known_studies
from analysis.results.study_record import StoredStudy, configuration_label, read_study_record
from analysis.wording import counted
from fairfm_core.artifacts import CHECKPOINTS, ArtifactStore, epoch_of, is_checkpoint
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.storage.layout import check_schema
from sweeps.claims.claims import claimed
from sweeps.status.worker_time import duration

FINGERPRINT = re.compile(r"(?:[a-z]+/)?(?P<start>[0-9a-f]{6,20})")
"""A fingerprint, or its first digits, perhaps with the folder of its kind."""
HISTORY = "history.json"
"""File of the stages that train: a row for each epoch."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class StageLog:
    """One stage: where it is, how it stands, and its epochs."""

    kind: str
    fingerprint: str
    place: str
    """Its folder, which need not exist yet."""
    state: str
    """`done in 12 s`, `running (host, process 4)`, `failed: ...`, `half done, after epoch 3`."""
    epochs: tuple[Row, ...] = ()
    """Values by epoch, of those that are finished; of a checkpoint where the stage is not."""


@dataclass(frozen=True)
class Asked:
    """What somebody has asked for: a trial, or one stage of several."""

    study: str
    name: str
    stages: tuple[tuple[str, str], ...]
    """Kind and fingerprint, in the order in which they run."""


def find_asked(store: ArtifactStore, asked: str, study: str | None = None) -> Asked:
    """The trial of this name, or whose stage has this fingerprint (or its first digits).

    A name without its seed is enough where only one seed is there. Raises BadInput, with the
    nearest name, for what is in no study of the results folder or in several.
    """
    check_schema(store)
    known = known_studies(store)
    if study is not None:
        check_study(store.location, study, known)
    records = {e: read_study_record(store, e)[0] for e in known if study in (None, e)}
    found = _by_name(records, asked) or _by_fingerprint(records, asked)
    if not found:
        names = [trial.name for record in records.values() for trial in record.trials]
        raise BadInput(
            f"no trial or stage {asked!r} in {store.location}{did_you_mean(asked, names)}; "
            "`fairfm sweep status` lists the names of a study"
        )
    studies = list(dict.fromkeys(each.study for each in found))
    if len(studies) > 1:
        raise BadInput(f"several studies have {asked!r}; add --study {' or '.join(studies)}")
    if len(found) > 1:
        raise BadInput(
            f"{asked!r} is not one trial: give one of {first_ten(e.name for e in found)}"
        )
    return found[0]


def read_log(store: ArtifactStore, asked: Asked) -> list[StageLog]:
    """How each stage stands, in the order in which they run."""
    holders = claimed(store, [fingerprint for _, fingerprint in asked.stages])
    logs = []
    for listed, fingerprint in asked.stages:
        kind = _kind(store, listed, fingerprint)
        holder = holders.get(fingerprint)
        state, epochs = _state(store, kind, fingerprint, holder.text if holder else None)
        place = store.place(kind, fingerprint)
        logs.append(StageLog(kind, fingerprint, place, state, epochs))
    return logs


def log_text(asked: Asked, logs: Sequence[StageLog], most: int | None = None) -> str:
    """The log for people; of many epochs the last `most`."""
    lines = [f"{asked.name} of study {asked.study}"]
    for log in logs:
        lines += [f"{log.kind}: {log.state}", f"  {log.place}"]
        rows = (
            log.epochs
            if most is None
            else log.epochs[len(log.epochs) - min(most, len(log.epochs)) :]
        )
        if hidden := len(log.epochs) - len(rows):
            lines.append(f"  ... {counted(hidden, 'earlier epoch')} (all: without --tail)")
        lines += [f"  {line}" for line in _epoch_lines(rows)]
    return "\n".join(lines)


def _by_name(records: Mapping[str, StoredStudy], asked: str) -> list[Asked]:
    """Trials and pre-trainings of this name; else trials of this configuration."""
    exact, seeds = [], []
    for study, record in records.items():
        for trial in record.trials:
            one = Asked(study, trial.name, tuple(trial.stages.items()))
            label = configuration_label(trial.name, trial.seed, trial.pretraining_seed)
            exact += [one] * (trial.name == asked)
            seeds += [one] * (label == asked)
        for before in record.pretrainings:
            if before.name == asked:
                exact.append(Asked(study, before.name, tuple(before.stages.items())))
    return exact or seeds


def _by_fingerprint(records: Mapping[str, StoredStudy], asked: str) -> list[Asked]:
    """The trial that one stage belongs to, or the stage itself where several trials need it."""
    match = FINGERPRINT.fullmatch(asked)
    if match is None:
        return []
    found = []
    for study, record in records.items():
        trials: dict[tuple[str, str], list[Asked]] = {}
        for trial in record.trials:
            one = Asked(study, trial.name, tuple(trial.stages.items()))
            for kind, fingerprint in trial.stages.items():
                if fingerprint.startswith(match["start"]):
                    trials.setdefault((kind, fingerprint), []).append(one)
        for stage, needing in trials.items():
            shared = f"{stage[0]} {stage[1]}, which {len(needing)} trials need,"
            found.append(needing[0] if len(needing) == 1 else Asked(study, shared, (stage,)))
    return list(dict.fromkeys(found))


def _kind(store: ArtifactStore, kind: str, fingerprint: str) -> str:
    """The record has one key for published weights and for pre-trainings."""
    published = kind != "weights" or store.exists(kind, fingerprint)
    return kind if published else "pretrain"


def _state(
    store: ArtifactStore, kind: str, fingerprint: str, holder: str | None
) -> tuple[str, tuple[Row, ...]]:
    inspection = store.inspect(kind, fingerprint)
    if inspection.done:
        artifact = store.artifact(kind, fingerprint)
        epochs = artifact.read_json(HISTORY)["history"] if artifact.has(HISTORY) else ()
        return f"done in {duration(float(artifact.marker.record['seconds']))}", tuple(epochs)
    names = [name for name in store.files(CHECKPOINTS, fingerprint) if is_checkpoint(name)]
    after = f", after epoch {epoch_of(names[-1])}" if names else ""
    epochs = _of_checkpoint(store, fingerprint) if names else ()
    if inspection.damage:
        return f"damaged ({inspection.damage}); the next run makes it again", epochs
    if holder is not None:
        return f"running{after} ({holder})", epochs
    if (reason := store.failure(fingerprint)) is not None:
        return f"failed{after}: {reason}", epochs
    return (f"half done{after}" if names else "to do"), epochs


def _of_checkpoint(store: ArtifactStore, fingerprint: str) -> tuple[Row, ...]:
    """The epochs in the newest intact checkpoint."""
    import torch

    from fairfm_core.training.checkpoint import loaded_state

    try:
        content = store.latest_checkpoint(fingerprint)
    except FileNotFoundError:  # a newer one has just taken its place
        content = None
    if content is None:
        return ()
    saved = loaded_state(content, torch.device("cpu"), fingerprint)
    return tuple(saved["state"]["history"])


COLUMNS = {
    "epoch": ("epoch", "{:.0f}", 1.0),
    "loss": ("loss", "{:#.4g}", 1.0),
    "val_auc": ("val AUC", "{:.2f}", POINTS),
    "lr": ("lr", "{:.3g}", 1.0),
    "images_per_second": ("images/s", "{:.0f}", 1.0),
    "memory_gb": ("memory GB", "{:.2f}", 1.0),
    "seconds": ("seconds", "{:.1f}", 1.0),
}
"""Values of an epoch that are shown, with their headings, formats and units; AUCs in points."""


def _epoch_lines(rows: Sequence[Row]) -> list[str]:
    """The epochs as a table; columns without a value are left out."""
    names = [name for name in COLUMNS if any(name in row for row in rows)]
    if not names:
        return []
    table = [[COLUMNS[name][0] for name in names]]
    table += [[_cell(row, name) for name in names] for row in rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(names))]
    return ["  ".join(t.rjust(w) for t, w in zip(row, widths, strict=True)) for row in table]


def _cell(row: Row, name: str) -> str:
    _, form, unit = COLUMNS[name]
    return form.format(unit * row[name]) if name in row else ""
