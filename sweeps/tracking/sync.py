"""`fairfm track sync`: MLflow made equal to what a results folder holds of a study."""

from __future__ import annotations

from collections.abc import Sequence, Set

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import Damaged
from sweeps.planning.records import RunRecord
from sweeps.tracking.runs import is_finished, log_run, open_writer
from sweeps.tracking.study_page import write_results


def sync_records(
    records: Sequence[RunRecord],
    done: Set[str],
    store: ArtifactStore,
    study: str,
    uri: str,
    objectives: Sequence[str],
) -> list[str]:
    """Write every finished record of a study to MLflow; returns lines on what was repaired.

    `done` are the fingerprints of finished stages. Runs that were deleted in MLflow are written
    again, runs that two drivers wrote are reduced to one. Raises MlflowException if MLflow fails,
    BadInput for a database that cannot be used.
    """
    writer, notes = open_writer(store, study, uri)
    writer.name_all({record.identity: record.name for record in records})
    finished = [record for record in records if is_finished(record, done)]
    deleted = sum(record.identity in writer.deleted for record in finished)
    repeated = writer.delete_repeated()
    for record in finished:
        try:
            log_run(writer, record, store, objectives)
        except Damaged as error:
            notes.append(f"{record.name} was left out: {error}")
    write_results(writer, store, study)
    if deleted:
        notes.append(f"{_counted(deleted)} deleted in MLflow: written again")
    if repeated:
        notes.append(f"{_counted(repeated)} in MLflow twice: the second copy was deleted there")
    return notes


def _counted(runs: int) -> str:
    return "1 run was" if runs == 1 else f"{runs} runs were"
