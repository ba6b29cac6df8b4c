"""Files that a command makes of a study's results: beside the study, or where the user says."""

from __future__ import annotations

from pathlib import Path

from analysis.results.study_record import STUDIES
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput
from fairfm_core.storage.durable import write_durably
from fairfm_core.storage.file_store import FileStore, is_remote, open_remote


def write_output(
    store: ArtifactStore, study: str, content: bytes, name: str, out: str | Path | None
) -> str:
    """Write a file into the folder or URI `out`, else the study's; returns its path or URI.

    Raises BadInput where that cannot be written.
    """
    try:
        if out is None:
            store.write_bytes(content, STUDIES, study, name)
            return store.place(STUDIES, study, name)
        if isinstance(out, str) and is_remote(out):
            folder = FileStore(*open_remote(out), out.rstrip("/"))
            folder.write_bytes(content, name)
            return folder.place(name)
        write_durably(Path(out, name), content)
        return str(Path(out, name))
    except OSError as error:
        where = out or store.place(STUDIES, study)
        reason = error.strerror or str(error)
        raise BadInput(
            f"{name} cannot be written to {where} ({reason}); name another folder with --out"
        ) from error
