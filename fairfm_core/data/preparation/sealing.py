"""Adds checksums to a data set that was prepared without them, or whose hashes are damaged."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fairfm_core.data.dataset import PreparedData, open_dataset, verify
from fairfm_core.data.manifest import COHORT, HASHES, IMAGES, read_manifest, write_manifest
from fairfm_core.data.preparation.making import make_checksums
from fairfm_core.data.preparation.prepare import alone_in
from fairfm_core.storage.durable import sync


def seal(folder: str | Path) -> PreparedData:
    """The data set in `folder`, whose manifest and hashes.npy hold checksums from now on.

    The content is compared with its SHA-256 first, so nothing that changed after preparation is
    sealed. The digest, and with it every identity, stays as it is.

    Raises:
        BadInput: as `dataset.verify`, or another process is writing the folder.
    """
    folder = Path(folder)
    manifest = read_manifest(folder).model_copy(update={"checksums": None})
    with alone_in(folder):
        verify(folder, manifest)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as scratch:
            hashes = Path(scratch) / HASHES
            checksums = make_checksums(folder / IMAGES, folder / COHORT, hashes)
            os.replace(hashes, folder / HASHES)
        for part in (folder / HASHES, folder):
            sync(part)
        write_manifest(manifest.model_copy(update={"checksums": checksums}), folder)
    return open_dataset(folder)
