"""The image store against PIL: decoding once into it, and reading batches back from it.

Decoding: what a user would write otherwise is a loop that opens, greys, resizes and stores each
JPEG with PIL, on one core; here it is the whole preparation of the rows, journal included, on all
cores. Neither side waits for the disk. Reading: a batch of random rows against the usual evaluation
path (open, RGB, resize, crop, normalise), in one thread.

Both sides of a round run one after the other, and the median round counts. All cores show only on a
machine that does nothing else: the load is printed, and one core's ratio does not depend on it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from benchmarks.sizes import sized
from fairfm_core.data.image_store.store import open_images
from fairfm_core.data.preparation.filling import decoder, fill_store
from fairfm_core.data.preparation.partial import partial_store
from fairfm_core.data.synthetic.phantom import draw_phantom, phantom_cohort
from fairfm_core.data.synthetic.phantom_world import PhantomWorld

Result = TypeVar("Result")

SIZE = 224
ROUNDS = sized(5, 1)
SMALL, LARGE = sized(600, 16), sized(80, 8)
"""Images of each synthetic set."""
REAL_IMAGES = sized(None, 16)
"""Of the real ones; None for all."""
BATCH = sized(128, 8)
GOAL_DECODING = 2.5
GOAL_READING = 40.0
MEAN, DEVIATION = 0.5056, 0.252
REAL = Path(__file__).parents[1] / "../shared/data/nih_cxr1100/images"
"""Real radiographs beside the checkout; a clone does not have them."""


def bench_image_store() -> bool:
    """Print both sides' images a second and their ratios; whether the goals are met."""
    with tempfile.TemporaryDirectory() as folder:
        sets = _image_sets(Path(folder))
        decoding = [_decoding(name, files, Path(folder)) for name, files in sets.items()]
        reading = _reading(next(iter(sets.values())), Path(folder))
    return min(decoding) >= GOAL_DECODING and reading >= GOAL_READING


def _image_sets(folder: Path) -> dict[str, list[Path]]:
    """CheXpert's small release, a full-size one, and real images where there are some."""
    sets = {
        "synthetic, 390 x 320": _synthetic(folder / "small", SMALL, (390, 320)),
        "synthetic, 2000 x 2000": _synthetic(folder / "large", LARGE, (2000, 2000)),
    }
    if REAL.is_dir():
        sets["real, 320 x 320"] = sorted(REAL.iterdir())[:REAL_IMAGES]
    return sets


def _synthetic(folder: Path, count: int, shape: tuple[int, int]) -> list[Path]:
    """Phantom radiographs with a detector's noise, as grey JPEG files of quality 90."""
    world = PhantomWorld(patients=count, image_size=128)
    drawn = draw_phantom(world, phantom_cohort(world).head(count))
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 4, (shape[1], shape[0]))
    files = [folder / f"{i:05d}.jpg" for i in range(count)]
    for file, grey in zip(files, drawn, strict=True):
        smooth = np.asarray(Image.fromarray(grey).resize(shape, Image.Resampling.BICUBIC))
        noisy = np.clip(np.rint(smooth + np.roll(noise, int(grey.sum()))), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(file, quality=90)
    return files


def _decoding(name: str, files: Sequence[Path], folder: Path) -> float:
    """The ratio of rates at which a store is filled; both stores hold the same pixels."""
    _fill(files[:8], folder)  # compiles
    rates: list[tuple[float, float, float]] = []
    for _ in range(ROUNDS):
        plain, loop = _timed(lambda: _with_a_loop(files, folder / "plain.npy"))
        store, all_cores = _timed(lambda: _fill(files, folder))
        np.testing.assert_array_equal(open_images(store), open_images(plain))
        one_core = _timed(lambda: _fill(files, folder, workers=1))[1]
        rates.append((len(files) / loop, len(files) / one_core, len(files) / all_cores))
    pil, alone, ours = (statistics.median(rate) for rate in zip(*rates, strict=True))
    ratio = statistics.median(rate[2] / rate[0] for rate in rates)
    load = os.getloadavg()[0]
    print(f"decoding {len(files)} JPEG ({name}) to {SIZE} x {SIZE}, images a second, load {load}:")
    print(f"  PIL in a loop, one core        {pil:8,.0f}")
    print(f"  fairfm, one core               {alone:8,.0f}  ratio {alone / pil:.2f}")
    print(f"  fairfm, {os.cpu_count()} cores                {ours:8,.0f}  ratio {ratio:.2f}")
    print(f"  (goal: {GOAL_DECODING:g} on all cores; pixels are equal)")
    return ratio


def _with_a_loop(files: Sequence[Path], path: Path) -> Path:
    store = np.lib.format.open_memmap(path, "w+", np.uint8, (len(files), SIZE, SIZE))
    for row, file in enumerate(files):
        with Image.open(file) as image:
            grey = image.convert("L").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        store[row] = np.asarray(grey)
    return path


def _fill(files: Sequence[Path], folder: Path, workers: int | None = None) -> Path:
    """A new store of the files, made as `fairfm data prepare` makes it."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        signatures = np.zeros(len(files), dtype=np.uint64)
        with partial_store(Path(out), "benchmark", SIZE, signatures) as partial:
            failed = fill_store(partial, decoder(files, SIZE), workers=workers)
        assert not failed
        return (partial.folder / "images.npy").replace(folder / "images.npy")


def _reading(files: Sequence[Path], folder: Path) -> float:
    """The ratio of rates at which one core gets a batch of images."""
    store = open_images(_fill(files, folder))
    rng = np.random.default_rng(0)
    rates: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        rows = rng.choice(len(files), BATCH)
        peer = _timed(lambda rows=rows: np.stack([_with_pil(files[row]) for row in rows]))[1]
        batch, ours = _timed(lambda rows=rows: [store[rows] for _ in range(20)][-1])
        assert batch.shape == (BATCH, SIZE, SIZE)
        rates.append((BATCH / peer, 20 * BATCH / ours))
    pil, gathered = (statistics.median(rate) for rate in zip(*rates, strict=True))
    ratio = statistics.median(rate[1] / rate[0] for rate in rates)
    print(f"reading batches of {BATCH} random images, one core, images a second:")
    print(f"  PIL: open, RGB, resize, crop, normalise   {pil:10,.0f}")
    print(f"  fairfm: rows of the store, uint8          {gathered:10,.0f}")
    print(f"  ratio {ratio:.0f} (goal {GOAL_READING:g}; the model's device normalises a batch)")
    return ratio


def _with_pil(file: Path) -> np.ndarray:
    """The usual evaluation transform: float32 [3, 224, 224]."""
    with Image.open(file) as image:
        colour = image.convert("RGB")
    short = min(colour.size)
    size = tuple(round(256 * side / short) for side in colour.size)
    resized = colour.resize(size, Image.Resampling.BICUBIC)
    left, top = ((side - SIZE) // 2 for side in size)
    pixels = np.asarray(resized.crop((left, top, left + SIZE, top + SIZE)), dtype=np.float32)
    return ((pixels / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began
