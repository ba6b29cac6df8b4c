"""The decoded image store: one uint8 array [N, S, S] on disk, memory-mapped by every trial.

All trials on a machine share the operating system's one cached copy of the file. It is written row
by row and not mapped while it grows, so preparing it takes the memory of a few images.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from fairfm_core.data.image_store.hashes import checksums
from fairfm_core.errors import BadInput, first_ten

HEADER = 128
"""Bytes before the first pixel; numpy pads the header of every such array to this length."""
HEADER_ERRORS = (ValueError, OSError, EOFError, TypeError, OverflowError, SyntaxError, TokenError)
"""What numpy raises for a damaged header."""
PIECE = 1 << 24
"""Number of bytes read at a time."""


def store_bytes(count: int, size: int) -> int:
    """Size of the store's file in bytes; 127,118 images of 224 x 224 are 6.38 GB."""
    return HEADER + count * size * size


def create_store(path: Path, count: int, size: int) -> None:
    """Creates a store of black images as a sparse file: rows take disk space once written."""
    with open(path, "wb") as file:
        shape = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)}
        write_array_header_1_0(file, shape)
        assert file.tell() == HEADER
        file.truncate(store_bytes(count, size))


class StoreRows:
    """Writes and reads single rows of a store file; safe to call from several threads."""

    def __init__(self, path: Path, size: int) -> None:
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115
        self._size = size

    def write(self, row: int, pixels: bytes) -> None:
        """Writes the bytes of one image into its row."""
        assert len(pixels) == self._size**2
        place = HEADER + row * self._size**2
        while pixels:  # a nearly full disk may take only part
            written = os.pwrite(self._file.fileno(), pixels, place)
            pixels, place = pixels[written:], place + written

    def read(self, row: int) -> bytes:
        """The bytes of one image."""
        length = self._size**2
        return os.pread(self._file.fileno(), length, HEADER + row * length)

    def sync(self) -> None:
        """Waits until everything written is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def copy_rows(source: Path, rows: Sequence[int], size: int, target: Path) -> None:
    """Writes some rows of a store, in the order given, as a new store and syncs it to disk."""
    create_store(target, len(rows), size)
    ends = [0, *(i for i in range(1, len(rows)) if rows[i] != rows[i - 1] + 1), len(rows)]
    with open(source, "rb") as old, open(target, "r+b") as new:
        new.seek(HEADER)
        for start, stop in pairwise(ends):
            old.seek(store_bytes(rows[start], size))
            _copy(old, new, (stop - start) * size * size)
        new.flush()
        os.fsync(new.fileno())


def _copy(old: BinaryIO, new: BinaryIO, length: int) -> None:
    while length:
        piece = old.read(min(PIECE, length))
        new.write(piece)
        length -= len(piece)


class StoredImages(np.ndarray[tuple[int, ...], np.dtype[np.uint8]]):
    """The pixels of a store, uint8 [N, S, S]: a read-only map of its file, and their checksums.

    Its parts and copies are ordinary pixels, without checksums.

    Attributes:
        path: the file.
        checksum_NC: uint8 [N, C], the checksum of each image; None if the store has none.
    """

    path: Path | None = None
    checksum_NC: NDArray[np.uint8] | None = None

    def __array_finalize__(self, source: Any) -> None:
        """Leaves the checksums with the whole store."""
        self.path = self.checksum_NC = None

    def check(self, rows_B: NDArray[np.int64], pixels_BSS: NDArray[np.uint8]) -> None:
        """Raises BadInput unless pixels read from these rows are those that were prepared."""
        if self.checksum_NC is None:
            return
        wrong_B = (checksums(pixels_BSS) != self.checksum_NC[rows_B]).any(axis=1)
        if wrong_B.any():
            rows = np.unique(rows_B[wrong_B])
            raise BadInput(
                f"{self.path}: the pixels of {len(rows)} image(s) changed after preparation "
                f"(checksums differ in row {first_ten(rows)}); prepare the data set again"
            )


def open_images(path: Path, checksum_NC: NDArray[np.uint8] | None = None) -> StoredImages:
    """The store as a read-only memory map; BadInput if it is absent or damaged.

    Args:
        path: the store's file.
        checksum_NC: the checksum of each image, against which `read_rows` compares what it reads.
    """
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise BadInput(f"{path} is missing; prepare the data set again") from None
    except HEADER_ERRORS as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} is damaged ({reason}); prepare the data set again") from error
    store: StoredImages = mapped.view(StoredImages)
    store.path, store.checksum_NC = path, checksum_NC
    return store


def read_rows(images_NSS: NDArray[np.uint8], rows_B: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Copies of some images, uint8 [B, S, S], read in the order of the file.

    Images of a store with checksums are verified whenever they are read, not only the first time:
    that costs a few microseconds an image, needs no record of what was verified, and notices a
    change during a training.

    Raises:
        BadInput: an image whose pixels changed after preparation.
    """
    mapped_NSS = np.asarray(images_NSS)
    pixels_BSS = np.empty((len(rows_B), *mapped_NSS.shape[1:]), dtype=np.uint8)
    # One by one each image is copied once; indexing with an array copies all of them twice.
    for place in np.argsort(rows_B, kind="stable").tolist():
        pixels_BSS[place] = mapped_NSS[rows_B[place]]
    if isinstance(images_NSS, StoredImages):
        images_NSS.check(rows_B, pixels_BSS)
    return pixels_BSS


def store_digest(path: Path) -> str:
    """SHA-256 (hex) of the array's type, shape and content, read in pieces."""
    store = open_images(path)
    digest = hashlib.sha256(f"{store.dtype.str} {store.shape}".encode())
    with open(path, "rb") as file:
        file.seek(path.stat().st_size - store.nbytes)
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
