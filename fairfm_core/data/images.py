"""The decoded image store: one uint8 array [N, S, S] on disk, memory-mapped by every trial."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image

from fairfm_core.errors import BadInput, first_ten

CHUNK = 256
MAX_PIXELS = 100_000_000
"""A radiograph has under 20 million pixels; more is a damaged header or a decompression bomb."""
UNREADABLE = (
    OSError,
    SyntaxError,  # what PIL raises for a broken PNG
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def decode_image(path: Path, size: int) -> NDArray[np.uint8]:
    """An image file as grey uint8 [size, size]: the whole image, squeezed (bicubic).

    Colour is turned to luminance, transparency is dropped and 16 bits are scaled to 8.
    """
    with Image.open(path) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels")
        if image.mode.startswith("I"):
            deep = np.asarray(image, dtype=np.int64)
            grey = Image.fromarray((np.clip(deep, 0, 65535) // 257).astype(np.uint8))
        else:
            grey = image.convert("L")
    return np.asarray(grey.resize((size, size), Image.Resampling.BICUBIC), dtype=np.uint8)


def decode_store(
    files: Sequence[Path],
    size: int,
    path: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Decodes `files`, in their order, into a new array file at `path`.

    Raises:
        BadInput: images that cannot be read, after all were tried; `path` is then removed.
    """
    store = open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(files), size, size))
    unreadable: list[str] = []

    def decode_into(i: int) -> str | None:
        try:
            store[i] = decode_image(files[i], size)
        except UNREADABLE as error:
            return f"{files[i].name} ({' '.join(str(error).split()) or type(error).__name__})"
        return None

    # PIL decodes and resizes outside the interpreter lock, so threads use every core.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), CHUNK):
            chunk = range(start, min(start + CHUNK, len(files)))
            unreadable += [reason for reason in pool.map(decode_into, chunk) if reason]
            progress(chunk.stop, len(files))
    store.flush()
    if unreadable:
        os.unlink(path)
        raise BadInput(
            f"{len(unreadable)} of {len(files)} images cannot be read: {first_ten(unreadable)}; "
            f"fetch them again"
        )


def draw_store(
    draw: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    count: int,
    size: int,
    path: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Draws `count` images, a chunk of row numbers at a time, into a new array file at `path`."""
    store = open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, size, size))
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        store[start:stop] = draw(np.arange(start, stop, dtype=np.int64))
        progress(stop, count)
    store.flush()


def open_store(path: Path) -> NDArray[np.uint8]:
    """The store as a read-only memory map; BadInput where it is absent or no such array."""
    try:
        store = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise BadInput(f"{path} is missing; prepare the data set again") from None
    except (ValueError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} is damaged ({reason}); prepare the data set again") from error
    return store


def store_digest(path: Path) -> str:
    """SHA-256 (hex) of the array's content, read in pieces."""
    store = open_store(path)
    digest = hashlib.sha256(f"{store.dtype.str} {store.shape}".encode())
    for start in range(0, len(store), CHUNK):
        digest.update(store[start : start + CHUNK].tobytes())
    return digest.hexdigest()
