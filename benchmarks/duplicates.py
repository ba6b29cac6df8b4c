"""Copies of images at MIMIC-CXR's size, how sure they are, and what verifying pixels costs.

Search: as many looks as MIMIC-CXR has images, drawn with the frequencies and correlations of the
looks of radiographs (real ones where they lie beside the checkout, else phantoms with noise), and a
thousand copies that differ in 0 to 15 bits. The other side compares every look with all others in
numpy, extrapolated from some of them. Verification: rows read with and without their checksums,
beside the random augmentation that every image of a fine-tuning takes on the same core. Seconds are
of CPU time in one thread.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.special import ndtri

from benchmarks.sizes import sized
from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.data.duplicates.hamming import LIMIT, near_pairs
from fairfm_core.data.duplicates.pictures import AGREEMENT
from fairfm_core.data.image_store.appearance import details, looks, thumbnails
from fairfm_core.data.image_store.decoding import decode_image
from fairfm_core.data.image_store.hashes import checksums, hash_images
from fairfm_core.data.image_store.resizing import resize
from fairfm_core.data.image_store.store import open_images, read_rows
from fairfm_core.data.synthetic.phantom import draw_phantom, phantom_cohort
from fairfm_core.data.synthetic.phantom_world import PhantomWorld
from fairfm_core.training.augmentation.augmentation import Augmenter, augmenter

SIZE = 224
MIMIC = sized(377_110, 2_000)
COPIES = sized(1_000, 20)
COMPARED = sized(50, 5)
ROUNDS = sized(9, 1)
BATCH = 256
GOAL_SECONDS = 300.0
GOAL_SHARE = 0.01
REAL = Path(__file__).parents[1] / "../shared/data/nih_cxr1100/images"
"""Real radiographs beside the checkout; a clone does not have them."""

Pixels = NDArray[np.uint8]
Result = TypeVar("Result")


def bench_duplicates() -> bool:
    """Print the time of hashing and searching and the cost of verifying; whether goals are met."""
    name, patients, pixels = _radiographs()
    _separation(name, patients, pixels)
    hashing, example = _hashing(pixels)
    searching, complete = _searching(example)
    minutes = (hashing + searching) / 60
    print(f"  together {minutes:.1f} minutes of one core (goal {GOAL_SECONDS / 60:g})")
    share = _verifying(pixels)
    return complete and hashing + searching <= GOAL_SECONDS and share <= GOAL_SHARE


def _radiographs() -> tuple[str, NDArray[np.str_], Pixels]:
    """Their name, the patient of each, and uint8 [N, 224, 224]."""
    if REAL.is_dir():
        files = sorted(REAL.rglob("*.jpg"))
        patients = np.array([file.stem.split("_")[0] for file in files])
        return "real radiographs", patients, np.stack([decode_image(f, SIZE) for f in files])
    world = PhantomWorld(patients=600, image_size=SIZE)
    frame = phantom_cohort(world)
    drawn = draw_phantom(world, frame)
    noise = np.random.default_rng(0).normal(0, 4, drawn.shape)
    pixels = np.clip(np.rint(drawn + noise), 0, 255).astype(np.uint8)
    return "phantoms", frame["patient_id"].to_numpy(dtype=str), pixels


def _jpeg(grey: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=30)
    return np.array(Image.open(buffer))


def _gamma(power: float) -> Callable[[Pixels], Pixels]:
    return lambda grey: np.rint(255 * (grey / 255) ** power).astype(np.uint8)


def _stretched(grey: Pixels) -> Pixels:
    low, high = np.percentile(grey, [1, 99])
    return np.clip((grey - low) / max(high - low, 1.0) * 255, 0, 255).astype(np.uint8)


def _cropped(grey: Pixels) -> Pixels:
    return resize(np.ascontiguousarray(grey[4:-4, 4:-4]), SIZE)


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "JPEG of quality 30": _jpeg,
    "stored at 96 pixels": lambda grey: resize(grey, 96),
    "stored at 320 pixels": lambda grey: resize(grey, 320),
    "gamma 0.8": _gamma(0.8),
    "gamma 1.3": _gamma(1.3),
    "contrast stretched": _stretched,
    "cropped by 2 % a side": _cropped,
}


def _separation(name: str, patients: NDArray[np.str_], pixels: Pixels) -> None:
    """Prints how far copies differ, and how far images of different patients do."""
    bits, detail = _bits(looks(thumbnails(pixels))), details(thumbnails(pixels))
    print(f"copies of {len(pixels):,} {name}: bits of 256 that differ, agreement of details")
    for change, changed in CHANGES.items():
        small = thumbnails(np.stack([changed(each) for each in pixels]))
        different = (_bits(looks(small)) != bits).sum(axis=1)
        agreement = (details(small) * detail).sum(axis=1)
        found = ((different <= LIMIT) & (agreement >= AGREEMENT)).mean()
        bits_99, agreement_1 = np.percentile(different, 99), np.percentile(agreement, 1)
        print(
            f"  {change:22} median {np.median(different):3.0f}, 99 % {bits_99:3.0f}"
            f"   1 % {agreement_1:.3f}   found {found:.1%}"
        )
    others = patients[:, None] != patients
    signs = 2.0 * bits - 1
    different = (bits.shape[1] - signs @ signs.T) / 2
    print(
        f"  different patients     least {different[others].min():3.0f}"
        f"   most {(detail @ detail.T)[others].max():.3f}"
        f"   ({others.sum() // 2:,} pairs; limits {LIMIT} bits, {AGREEMENT:g})"
    )


def _hashing(pixels: Pixels) -> tuple[float, NDArray[np.uint64]]:
    """CPU seconds of hashing MIMIC-CXR's images, and the looks of `pixels`."""
    seconds, hashes = zip(*(_timed(lambda: hash_images(pixels)) for _ in range(3)), strict=True)
    each = statistics.median(seconds) / len(pixels)
    print(
        f"hashes of {MIMIC:,} images of {SIZE} x {SIZE}, CPU seconds (load {os.getloadavg()[0]}):"
    )
    print(f"  checksum and look      {each * MIMIC:6.1f}  extrapolated, {1 / each:,.0f} images/s")
    return each * MIMIC, hashes[0]["look"]


def _searching(example: NDArray[np.uint64]) -> tuple[float, bool]:
    """CPU seconds of the search among as many looks, and whether every copy was found."""
    random = np.random.default_rng(0)
    drawn = _alike(example, MIMIC, random)
    places = random.choice(MIMIC, COPIES, replace=False)
    wrong = np.zeros((COPIES, 256), dtype=np.uint8)
    for number in range(COPIES):
        wrong[number, random.choice(256, number % (LIMIT + 1), replace=False)] = 1
    everything = np.concatenate([drawn, drawn[places] ^ _packed(wrong)])
    ours, pairs = _timed(lambda: near_pairs(everything))
    planted = set(zip(places.tolist(), range(MIMIC, MIMIC + COPIES), strict=True))
    lost = planted - {tuple(pair) for pair in pairs.tolist()}
    plain = _timed(lambda: [_compared(everything, look) for look in everything[:COMPARED]])[0]
    all_pairs = plain / COMPARED * len(everything) / 2
    print(f"  near pairs             {ours:6.1f}  ratio {all_pairs / ours:,.0f}")
    print(f"  all pairs in numpy     {all_pairs:6,.0f}  extrapolated")
    print(
        f"  {COPIES - len(lost):,} of {COPIES:,} planted copies found, {len(pairs):,} pairs in all"
    )
    return ours, not lost


def _compared(everything: NDArray[np.uint64], look: NDArray[np.uint64]) -> int:
    different = np.bitwise_count(everything ^ look).sum(axis=1, dtype=np.int64)
    return int(np.count_nonzero(different <= LIMIT))


def _alike(
    example: NDArray[np.uint64], count: int, random: np.random.Generator
) -> NDArray[np.uint64]:
    """Looks whose bits have the frequencies and correlations of the examples'."""
    bits = _bits(example).astype(np.float32)
    share = np.clip(bits.mean(axis=0), 1e-3, 1 - 1e-3)
    centred = (bits - bits.mean(axis=0)) / np.sqrt(share * (1 - share) * len(bits))
    made = []
    for start in range(0, count, 10_000):
        normal = random.normal(size=(min(10_000, count - start), len(bits))).astype(np.float32)
        made.append(_packed(normal @ centred > -ndtri(share)))
    return np.concatenate(made)


def _bits(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")


def _packed(bits: NDArray[np.generic]) -> NDArray[np.uint64]:
    packed: NDArray[np.uint64] = np.packbits(bits, axis=1, bitorder="little").view("<u8")
    return packed


def _verifying(pixels: Pixels) -> float:
    """The share that verification takes of reading and augmenting an image."""
    recipe = EndToEnd(method="end_to_end", augmentation="randaugment", augmentation_path="tensor")
    backbone = Backbone(name="vit_tiny_patch16_224", image_size=SIZE, channels=1)
    augment, random = augmenter(recipe, backbone), np.random.default_rng(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, pixels)
        stores = open_images(path), open_images(path, checksums(pixels))
        rounds = [_round(stores, augment, random) for _ in range(ROUNDS)]
    torch.set_num_threads(threads)
    plain, verified, rest = (1e6 * statistics.median(r) / BATCH for r in zip(*rounds, strict=True))
    share = (verified - plain) / (verified + rest)
    print(f"reading random images of {SIZE} x {SIZE}, CPU microseconds an image:")
    print(f"  unverified             {plain:6.1f}")
    print(f"  verified               {verified:6.1f}")
    print(f"  augmentation           {rest:6.1f}")
    print(
        f"  verification takes {share:.2%} of a data path without a network (goal {GOAL_SHARE:.0%})"
    )
    return share


def _round(
    stores: tuple[Pixels, Pixels], augment: Augmenter, random: np.random.Generator
) -> tuple[float, float, float]:
    """CPU seconds of reading a batch unverified and verified, and of augmenting it."""
    rows, seeds = random.choice(len(stores[0]), BATCH), list(range(BATCH))
    plain, pixels = _timed(lambda: read_rows(stores[0], rows))
    verified = _timed(lambda: read_rows(stores[1], rows))[0]
    read = torch.from_numpy(pixels)
    return plain, verified, _timed(lambda: augment.finished(augment.drawn(read, seeds), seeds))[0]


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result
