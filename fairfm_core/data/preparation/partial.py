"""An unfinished image store: kept when a run is interrupted, resumed by the next run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairfm_core.data.image_store.store import HEADER, StoreRows, create_store, store_bytes
from fairfm_core.data.manifest import IMAGES
from fairfm_core.data.preparation.journal import Journal
from fairfm_core.errors import BadInput

PARTIAL = ".partial-"
JOURNAL = "journal"


class PartialStore:
    """The rows of a store that is being made.

    Attributes:
        folder: where the store is until it is published; removed afterwards.
        done_N: whether an earlier run finished each row.
        code_N: how the file of each finished row was read (`grey_levels.ReadImage.code`).
    """

    def __init__(self, folder: Path, size: int, signatures_N: NDArray[np.uint64]) -> None:
        self.folder = folder
        self._signatures_N = signatures_N
        self._rows = StoreRows(folder / IMAGES, size)
        self._journal = Journal(folder / JOURNAL)
        self.done_N, self.code_N = self._journal.finished(signatures_N, self._rows.read)

    def keep(self, row: int, pixels: NDArray[np.uint8], code: int = 0) -> None:
        """Writes one image, then its record in the journal."""
        data = pixels.tobytes()
        self._rows.write(row, data)
        self._journal.record(row, int(self._signatures_N[row]), data, code)
        self.code_N[row] = code

    def sync(self) -> None:
        """Waits until the images are on the disk."""
        self._rows.sync()

    def close(self) -> None:
        """Closes the files."""
        self._rows.close()
        self._journal.close()


@contextmanager
def partial_store(
    out: Path, request: str, size: int, signatures_N: NDArray[np.uint64]
) -> Iterator[PartialStore]:
    """The unfinished store of a request in `out`, new or as an earlier run left it.

    What a run of another request left is removed. After a failure or an interruption the store is
    kept for the next run; the caller removes its folder when everything is published.

    Args:
        out: the folder that is prepared; this process must hold its lock.
        request: identity of the rows and their order; another request does not reuse them.
        size: height and width of the images.
        signatures_N: signature of each row's file; a row of another signature is made again.
    """
    folder = out / f"{PARTIAL}{request[:16]}"
    for other in out.glob(f"{PARTIAL}*"):
        if other != folder:
            shutil.rmtree(other)
    folder.mkdir(exist_ok=True)
    images = folder / IMAGES
    if not images.exists() and (out / IMAGES).exists() and (folder / JOURNAL).exists():
        os.replace(out / IMAGES, images)  # interrupted between publishing and the manifest
    wanted = store_bytes(len(signatures_N), size)
    if not images.exists() or images.stat().st_size != wanted:
        _check_room(folder, wanted)
        (folder / JOURNAL).unlink(missing_ok=True)
        create_store(images, len(signatures_N), size)
    store = PartialStore(folder, size, signatures_N)
    try:
        yield store
    finally:
        store.close()


def remove_partial(out: Path) -> None:
    """Removes what an interrupted preparation left beside a finished store."""
    for folder in out.glob(f"{PARTIAL}*"):
        shutil.rmtree(folder)


def _check_room(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted - HEADER:
        raise BadInput(
            f"{folder.parent} needs {wanted / 1e9:.2f} GB for the images and its disk has "
            f"{free / 1e9:.2f} GB free: make room or choose another --out"
        )
