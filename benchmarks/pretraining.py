"""Pre-training: this program's loops against plain ones, and what the data path takes of them.

The other side is `pretraining_plain`: the same networks, batch and AdamW in a loop over PIL
pictures and torchvision's transforms. Both sides begin with the same weights and lose the same on
the same inputs, step after step. Compared are the step alone, on views that are ready, and whole
training: the batch from the memory-mapped store (there from a DataLoader), views, step, optimiser.
CPU seconds on one thread, turn by turn; a ratio is the median of the rounds' own.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.pretraining_sides import Steps, data_path, plain_training, recipe_of, training
from benchmarks.sizes import sized
from fairfm_core.config.backbone import Backbone
from fairfm_core.data.image_store.store import open_images
from fairfm_core.training.pretraining.corpus_images import CorpusImages

BATCH, STORED, ROUNDS = sized(16, 4), sized(256, 16), sized(7, 1)
GOAL_RATIO, NOISE, GOAL_SHARE = 1.0, 0.03, 0.10
"""As fast at least (medians of two equal sides differ by a few per cent); the data path's share."""
BACKBONE = Backbone(name="vit_tiny_patch16_224")
SMALL_DECODER = {"decoder_dim": 192, "decoder_depth": 2, "decoder_heads": 3}
CASES: dict[str, dict[str, Any]] = {
    # A decoder to match the encoder: with the paper's the step takes ten times as long.
    "MAE, a quarter of the patches seen, decoder 192 x 2": {"method": "mae", **SMALL_DECODER},
    "MoCo v3, two views, heads 4096 wide": {"method": "mocov3"},
}
Rounds = dict[str, list[float]]


def bench_pretraining() -> bool:
    """Print images a second of both sides and the share of the data path; whether goals are met."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    print(
        f"pre-training {BACKBONE.name}, batch {BATCH}, {STORED} -> 224 px, the paper's views, fp32,"
    )
    print(f"images a second of CPU time on one thread, {ROUNDS} rounds (load {load:.1f}):")
    try:
        with tempfile.TemporaryDirectory() as folder:
            images = _images(Path(folder) / "images.npy")
            met = [_case(name, images, values) for name, values in CASES.items()]
    finally:
        torch.set_num_threads(threads)
    return all(met)


def _images(path: Path) -> CorpusImages:
    """A batch of stored pictures, memory-mapped."""
    coarse = np.random.default_rng(0).integers(0, 256, (BATCH, 16, 16), dtype=np.uint8)
    big = [Image.fromarray(c).resize((STORED, STORED), Image.Resampling.BICUBIC) for c in coarse]
    np.save(path, np.stack([np.asarray(image) for image in big]))
    places = np.arange(BATCH)
    return CorpusImages((open_images(path),), np.zeros_like(places), places, seed=0)


def _case(name: str, images: CorpusImages, values: dict[str, Any]) -> bool:
    recipe = recipe_of(values, BATCH)
    half = recipe_of(values | {"precision": "bf16"}, BATCH)
    steps = Steps(recipe, BACKBONE, images)
    rounds = _turns(
        {
            "step, plain": steps.plain,
            "step, fairfm": steps.ours,
            "training, plain": plain_training(recipe, BACKBONE, images).train,
            "training, fairfm": training(recipe, BACKBONE, images),
            "bf16": training(half, BACKBONE, images),
            "data": data_path(recipe, BACKBONE, images),
        }
    )
    plain, ours = steps.losses
    torch.testing.assert_close(ours, plain, rtol=1e-3, atol=0)
    print(f"  {name}:")
    met = [_compared(rounds, part) for part in ("step", "training")]
    print(f"    losses of step {len(ours)} on the same inputs: {plain[-1]:.4f} and {ours[-1]:.4f}")
    return all([*met, *_shares(rounds)])


def _turns(sides: dict[str, Callable[[], None]]) -> Rounds:
    """CPU seconds of each side in every round; in every other one the last side begins."""
    rounds: Rounds = {name: [] for name in sides}
    for number in range(ROUNDS + 1):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            started = time.process_time()
            sides[name]()
            if number > 0:  # the first round warms up
                rounds[name].append(time.process_time() - started)
    return rounds


def _compared(rounds: Rounds, part: str) -> bool:
    plain, ours = rounds[f"{part}, plain"], rounds[f"{part}, fairfm"]
    ratios = [theirs / mine for theirs, mine in zip(plain, ours, strict=True)]
    ratio = statistics.median(ratios)
    for side, seconds in (("plain", plain), ("fairfm", ours)):
        middle, low, high = (BATCH / f(seconds) for f in (statistics.median, max, min))
        print(f"    {f'{part}, {side}':17} {middle:6.2f} ({low:.2f} to {high:.2f})")
    goal = f"goal {GOAL_RATIO:g} less {NOISE:g} of noise"
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"    ratio of {part}s {ratio:.3f} ({spread}; {goal})")
    return ratio >= GOAL_RATIO - NOISE


def _shares(rounds: Rounds) -> list[bool]:
    """Whether the data path takes little enough of training, in 32 and in 16 bits."""
    data = statistics.median(rounds["data"])
    wholes = (rounds["training, fairfm"], rounds["bf16"])
    shares = [data / statistics.median(whole) for whole in wholes]
    rate = BATCH / statistics.median(rounds["bf16"])
    print(
        f"    data path {1e3 * data / BATCH:.2f} ms an image: {shares[0]:.1%} of training, "
        f"{shares[1]:.1%} in bf16 at {rate:.2f} images/s (goal {GOAL_SHARE:.0%})"
    )
    return [share <= GOAL_SHARE for share in shares]
