"""The journal of an unfinished image store: which rows hold the pixels of which file.

One record of 20 bytes is appended for each row after its pixels are written. A record contains a
checksum of the pixels, so it can be trusted whatever the order of writes: after a power cut, a row
whose pixels did not reach the disk is recognised by its checksum, and a truncated record by its
length.
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

PACKED = "<IIQI"
RECORD = np.dtype([("row", "<u4"), ("checksum", "<u4"), ("signature", "<u8"), ("code", "<u4")])


def file_signature(path: Path, status: os.stat_result) -> int:
    """Identity of a file on disk: its path, size and time of modification."""
    text = f"{path}\0{status.st_size}\0{status.st_mtime_ns}"
    return int.from_bytes(blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest())


class Journal:
    """Appends a record for each finished row; safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        whole = path.stat().st_size // RECORD.itemsize if path.exists() else 0
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        self._file.truncate(whole * RECORD.itemsize)
        self._path = path

    def record(self, row: int, signature: int, pixels: bytes, code: int) -> None:
        """Records that a row holds these pixels, made from the file with this signature.

        `code` says how the file was read (`grey_levels.ReadImage.code`).
        """
        self._file.write(struct.pack(PACKED, row, zlib.crc32(pixels), signature, code))

    def finished(
        self, signatures_N: NDArray[np.uint64], read: Callable[[int], bytes]
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Which of N rows are complete and were made from the files wanted now, and their codes.

        Args:
            signatures_N: the signature of the file wanted in each row.
            read: row number -> the bytes stored in that row.
        """
        done_N = np.zeros(len(signatures_N), dtype=np.bool_)
        code_N = np.zeros(len(signatures_N), dtype=np.uint8)
        records = np.fromfile(self._path, dtype=RECORD)
        records = records[records["row"] < len(signatures_N)]
        records = records[records["signature"] == signatures_N[records["row"]]]
        for row, checksum, _, code in records.tolist():
            done_N[row], code_N[row] = zlib.crc32(read(row)) == checksum, code
        return done_N, code_N

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
