"""Independent named random streams: every random choice of the program has a seed and a name.

A stream depends only on its seed and names. So a new consumer of randomness never changes an
existing one, and a training that is interrupted at an epoch needs no saved generator state: the
streams of epoch e are derived from (seed, name, e).
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream `names` of `seed`; different names give unrelated seeds."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The NumPy generator of the stream `names` of `seed`."""
    return np.random.default_rng(stream_seed(seed, *names))
