"""Preparing a data set for a URI: on this machine first, then sent whole, the manifest last.

What is being prepared lies in the user's cache folder, `<cache>/preparing/<key>/<name>`, so an
interrupted preparation is resumed as in any folder. Finished, it becomes this machine's copy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.data.manifest import MANIFEST
from fairfm_core.data.node_copy import adopt_copy, data_store, local_folder, upload
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.errors import BadInput
from fairfm_core.storage.checksums import checksum_of
from fairfm_core.storage.file_store import FileStore, is_remote
from fairfm_core.storage.kept import cache_folder

logger = logging.getLogger(__name__)


def prepare_at(
    kind: str,
    source: str | Path,
    out: str,
    size: int | None = None,
    *,
    say: Callable[[str], None] = logger.info,
    **options: Any,
) -> PreparedData:
    """As `prepare`, in a folder or at a URI: there a data set appears whole or not at all."""
    if is_remote(str(source)):
        raise BadInput(
            f"{source}: images are read from this machine; copy them here first, for instance with "
            "aws s3 sync, and give that folder"
        )
    if not is_remote(out):
        return prepare(kind, source, out, size, say=say, **options)
    store = data_store(out)
    finished = store.exists(MANIFEST)
    folder = local_folder(out) if finished else _preparing(store)

    def said(line: str) -> None:
        say(line.replace(str(folder), out))

    try:
        prepare(kind, source, folder, size, say=said, **options)
    except BadInput as error:
        raise BadInput(str(error).replace(str(folder), out)) from error
    if not finished:
        upload(folder, out)
        adopt_copy(folder, out)
    return open_dataset(out)


def _preparing(store: FileStore) -> Path:
    """Where the data set for a URI is made on this machine."""
    key = checksum_of(store.location.encode())
    return cache_folder() / "preparing" / key / PurePosixPath(store.root).name
