"""Two hashes of every image: a checksum of its pixels, and what it looks like.

The checksum reveals that pixels changed after preparation. The look (`appearance.py`) is nearly
the same for two copies of one picture, however they were encoded and resized.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from fairfm_core.cores import usable_cores
from fairfm_core.data.image_store.appearance import WORDS, looks, thumbnails
from fairfm_core.errors import BadInput
from fairfm_core.storage.checksums import checksum_of

CHECKSUM_BYTES = 16
IMAGE_HASH = np.dtype([("checksum", "u1", (CHECKSUM_BYTES,)), ("look", "<u8", (WORDS,))])
"""The hashes of one image; hashes.npy holds one such record for each row of the store."""
ImageHashes = NDArray[np.void]
"""Hashes [N] of a store of N images."""
BLOCK_BYTES = 1 << 23
"""Pixels that a thread hashes at a time."""


def checksums(pixels_BSS: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The XXH3 checksum of each of B contiguous images, uint8 [B, 16]."""
    digests = b"".join(map(xxhash.xxh3_128_digest, pixels_BSS))
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, CHECKSUM_BYTES)


def hash_images(
    images_NSS: NDArray[np.uint8], progress: Callable[[int, int], None] = lambda done, total: None
) -> ImageHashes:
    """The hashes of N images, read once from start to end on every core."""
    mapped_NSS = np.asarray(images_NSS)
    hashes_N = np.zeros(len(mapped_NSS), dtype=IMAGE_HASH)
    step = max(1, BLOCK_BYTES // max(1, mapped_NSS[:1].nbytes))

    def hash_block(start: int) -> int:
        block = slice(start, start + step)
        hashes_N["checksum"][block] = checksums(mapped_NSS[block])
        hashes_N["look"][block] = looks(thumbnails(mapped_NSS[block]))
        return len(mapped_NSS[block])

    done = 0
    with ThreadPoolExecutor(usable_cores()) as pool:
        for count in pool.map(hash_block, range(0, len(mapped_NSS), step)):
            done += count
            progress(done, len(mapped_NSS))
    return hashes_N


def write_hashes(hashes_N: ImageHashes, path: Path) -> str:
    """Writes hashes.npy; returns the checksum (hex) of the file."""
    buffer = io.BytesIO()
    np.save(buffer, hashes_N, allow_pickle=False)
    path.write_bytes(buffer.getvalue())
    return checksum_of(buffer.getvalue())


def read_hashes(path: Path, checksum: str) -> ImageHashes:
    """The hashes in a file; BadInput unless it is there with this checksum."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{path} is missing; make it with: fairfm data seal {path.parent}") from None
    if checksum_of(content) != checksum:
        raise BadInput(
            f"{path} is damaged (its checksum differs from the manifest's); "
            f"make it again with: fairfm data seal {path.parent}"
        )
    hashes_N: ImageHashes = np.load(io.BytesIO(content), allow_pickle=False)
    return hashes_N
