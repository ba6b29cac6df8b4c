"""Whether the results folder can be one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.data.manifest import COHORT, IMAGES, MANIFEST
from fairfm_core.errors import BadInput
from sweeps.preflight.findings import StudyFindings

OTHER = "give another folder with --results"


def folder_findings(store: ArtifactStore) -> StudyFindings:
    """Refuses a file, a prepared data set, and a folder that cannot be written."""
    if not store.is_local:
        return StudyFindings()
    try:
        check_results_folder(Path(store.root))
    except BadInput as error:
        return StudyFindings(refusals=(str(error),))
    return StudyFindings()


def check_results_folder(folder: Path) -> None:
    """Raise BadInput unless results can be written to `folder`, or to a new folder of that path."""
    if any((folder / name).exists() for name in (MANIFEST, COHORT, IMAGES)):
        raise BadInput(f"results folder {folder} is a prepared data set; {OTHER}")
    nearest = _nearest(folder)
    if not nearest.is_dir():
        raise BadInput(f"results folder {folder}: {nearest} is a file, not a folder; {OTHER}")
    try:
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(0, "no permission")
        with tempfile.TemporaryFile(dir=nearest):  # permissions do not tell of read-only disks
            pass
    except OSError as error:
        raise BadInput(
            f"results folder {folder} cannot be written ({error.strerror or error}); fix that or "
            f"{OTHER}"
        ) from error


def _nearest(folder: Path) -> Path:
    """The folder itself or the nearest folder above it that exists."""
    try:
        return next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    except OSError as error:  # a name that no file system takes
        raise BadInput(f"results folder {folder}: {error.strerror}; {OTHER}") from error
