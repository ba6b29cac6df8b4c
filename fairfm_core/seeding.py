"""Independent named random streams: every random choice of the program has a seed and a name.

A stream depends only on its seed and names. So a new consumer of randomness never changes an
existing one, and a training that is interrupted at an epoch needs no saved generator state: the
streams of epoch e are derived from (seed, name, e).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# SplitMix64 (Steele, Lea, Flood 2014), whose k-th number is a hash of seed + k * GOLDEN.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIXES = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream `names` of `seed`; different names give unrelated seeds."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The NumPy generator of the stream `names` of `seed`."""
    return np.random.default_rng(stream_seed(seed, *names))


def image_seeds(seed: int, count: int, *names: str | int) -> list[int]:
    """A 63-bit seed for each of `count` images, from the stream `names` of `seed`.

    Image i has the same seed whatever `count` is, and however the images are divided into parts.
    """
    seeds: list[int] = stream(seed, *names).integers(2**63, size=count, dtype=np.int64).tolist()
    return seeds


def splitmix(seeds: Sequence[int], count: int) -> NDArray[np.uint64]:
    """The first `count` numbers of each seed's own SplitMix64 stream, [count, B]."""
    steps = np.arange(1, count + 1, dtype=np.uint64)[:, None] * GOLDEN
    z = np.array(seeds, dtype=np.uint64) + steps  # both wrap around at 2^64, as they should
    for shift, factor in MIXES:
        z = (z ^ (z >> shift)) * factor
    z ^= z >> np.uint64(31)
    return z


def uniform(numbers: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Numbers of `splitmix` as float32 in [0, 1), from their upper 24 bits."""
    return (numbers >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
