"""The version of a results folder's layout, recorded in its `fairfm.json`.

A damaged `fairfm.json` counts for nothing: the finished stages say which version they are of, and
the next run writes the file again.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath

from pyarrow import fs

from fairfm_core.errors import BadFile, BadInput
from fairfm_core.storage.file_store import FileStore
from fairfm_core.storage.inspection import DONE
from fairfm_core.storage.markers import SCHEMA, parse_object

LAYOUT = "fairfm.json"
"""File of a results folder that holds the version of its layout."""


def claim_results(store: FileStore) -> None:
    """Mark `store` as a results folder of this version of the layout.

    Raises BadInput when it has another version, cannot be written or is full.
    """
    check_schema(store)
    try:
        write_schema(store)
    except OSError as error:
        raise BadInput(
            f"results folder {store.location} cannot be written ({error.strerror or error}); "
            "fix that or give another folder with --results"
        ) from error


def write_schema(store: FileStore) -> None:
    """Write `fairfm.json`."""
    store.write_json({"schema": SCHEMA}, LAYOUT)


def check_schema(store: FileStore) -> None:
    """Raise BadInput for a results folder of another version; a new folder is accepted."""
    try:
        version = recorded_schema(store)
    except (BadFile, PermissionError):
        version = _schema_of_stages(store)
    if version not in (None, SCHEMA):
        raise BadInput(
            f"results folder {store.location} has schema version {version}, but this fairfm writes "
            f"version {SCHEMA}; give another folder with --results"
        )


def recorded_schema(store: FileStore) -> int | None:
    """The version in `fairfm.json`; None for a new folder.

    Raises BadFile for a file that is damaged.
    """
    if not store.exists(LAYOUT):
        return None
    version = store.read_json(LAYOUT).get("schema")
    if type(version) is not int:
        raise BadFile(store.path(LAYOUT), "cannot be read: it names no schema version")
    return version


def _schema_of_stages(store: FileStore) -> int | None:
    """The version in the first marker that can be read; None if there is none."""
    for kind in _names(store):
        for stage in _names(store, kind):
            with suppress(OSError, ValueError):
                version = parse_object(store.read_bytes(kind, stage, DONE)).get("schema")
                if type(version) is int:
                    return version
    return None


def _names(store: FileStore, *parts: str) -> list[str]:
    """Names of the folders in a folder, sorted."""
    selector = fs.FileSelector("/".join([store.root, *parts]), allow_not_found=True)
    listed = store.filesystem.get_file_info(selector)
    folders = (info.path for info in listed if info.type == fs.FileType.Directory)
    return sorted(PurePosixPath(path).name for path in folders)
