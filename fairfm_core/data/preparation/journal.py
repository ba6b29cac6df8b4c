"""The journal of a half-made image store: which rows hold the pixels of which file.

One record of 16 bytes a row, appended after its pixels were written. A record carries a checksum of
the pixels, so it needs no ordering of writes to be believed: after a power cut, a row whose pixels
did not reach the disk is known by its checksum, and a record that was cut off by its length.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKED = "<IIQ"
RECORD = np.dtype([("row", "<u4"), ("checksum", "<u4"), ("signature", "<u8")])


def file_signature(path: Path, status: os.stat_result) -> int:
    """Identity of a file as it lies: path, size and time of change; another file has another."""
    text = f"{path}\0{status.st_size}\0{status.st_mtime_ns}"
    return int.from_bytes(blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest())


class Journal:
    """Appends a record for each finished row; safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        whole = path.stat().st_size // RECORD.itemsize if path.exists() else 0
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        self._file.truncate(whole * RECORD.itemsize)
        self._path = path

    def record(self, row: int, signature: int, pixels: bytes) -> None:
        """Notes that a row holds these pixels, made from the file of this signature."""
        self._file.write(struct.pack(PACKED, row, zlib.crc32(pixels), signature))

    def finished(
        self, signatures_N: NDArray[np.uint64], read: Callable[[int], bytes]
    ) -> NDArray[np.bool_]:
        """Which of N rows are made of the files they are now wanted from, and are whole.

        Args:
            signatures_N: the signature wanted in each row.
            read: the bytes that are in a row.
        """
        done_N = np.zeros(len(signatures_N), dtype=np.bool_)
        records = np.fromfile(self._path, dtype=RECORD)
        records = records[records["row"] < len(signatures_N)]
        records = records[records["signature"] == signatures_N[records["row"]]]
        for row, checksum, _ in records.tolist():
            done_N[row] = zlib.crc32(read(row)) == checksum
        return done_N

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
