"""RandAugment on one core: timm on RGB images as a user would write it, and both paths here.

All three make normalised float32 [B, 3, 224, 224] of decoded 256 pixel images, with a random
resized crop, a flip and two random operations at magnitude 6. The grey PIL path computes the very
pictures of the first. The tensor path's operations are torchvision's: both always happen, where
timm's happen with p = 0.5 each, so it does nearly twice as many. Seconds are of CPU time, in one
thread; sides of a round run one after the other, and the median round counts.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform
from torch import Tensor

from benchmarks.sizes import sized
from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.data.synthetic.phantom import draw_phantom, phantom_cohort
from fairfm_core.data.synthetic.phantom_world import PhantomWorld
from fairfm_core.training.augmentation.augmentation import augmenter

STORED = 256
SEEN = 224
IMAGES = sized(128, 8)
ROUNDS = sized(7, 1)
MEAN, DEVIATION = 0.5056, 0.252
GOAL = 1.8


def bench_augmentation() -> bool:
    """Print images a second of the three and their ratios; whether the goal is met."""
    pixels_BHW = _radiographs()
    sides = {"timm": _timm_on_rgb(pixels_BHW), "pil": _ours("pil", pixels_BHW)}
    sides["tensor"] = _ours("tensor", pixels_BHW)
    seeds = list(range(IMAGES))
    assert torch.equal(sides["timm"](seeds), sides["pil"](seeds))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rounds = [_round(sides, number) for number in range(ROUNDS)]
    torch.set_num_threads(threads)
    return _printed(rounds)


def _radiographs() -> Tensor:
    """Phantom radiographs with a detector's noise: uint8 [B, H, W]."""
    world = PhantomWorld(patients=IMAGES, image_size=STORED)
    drawn = np.stack(list(draw_phantom(world, phantom_cohort(world).head(IMAGES))))
    noise = np.random.default_rng(0).normal(0, 4, drawn.shape)
    return torch.from_numpy(np.clip(np.rint(drawn + noise), 0, 255).astype(np.uint8))


def _timm_on_rgb(pixels_BHW: Tensor) -> Callable[[list[int]], Tensor]:
    """Decoded colour images one by one through timm's training transform."""
    images = [Image.fromarray(image).convert("RGB") for image in pixels_BHW.numpy()]
    transform = create_transform(
        SEEN,
        is_training=True,
        auto_augment="rand-m6-mstd0.5-inc1",
        re_prob=0,
        color_jitter=None,
        interpolation="bicubic",
        mean=(MEAN,) * 3,
        std=(DEVIATION,) * 3,
    )

    def side(seeds: list[int]) -> Tensor:
        views = []
        for image, seed in zip(images, seeds, strict=True):
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - the generator that timm draws from
            torch.default_generator.manual_seed(seed)
            views.append(transform(image))
        return torch.stack(views)

    return side


def _ours(path: str, pixels_BHW: Tensor) -> Callable[[list[int]], Tensor]:
    recipe = EndToEnd.model_validate(
        {"method": "end_to_end", "augmentation": "randaugment", "augmentation_path": path}
    )
    augment = augmenter(recipe, Backbone(name="vit_base_patch16_224", image_size=SEEN))
    return lambda seeds: augment(pixels_BHW, seeds)


def _round(sides: dict[str, Callable[[list[int]], Tensor]], number: int) -> dict[str, float]:
    """Images a second of each side, with the round's own seeds."""
    seeds = [number * IMAGES + place for place in range(IMAGES)]
    rates = {}
    for name, side in sides.items():
        began = time.process_time()
        assert side(seeds).shape == (IMAGES, 3, SEEN, SEEN)
        rates[name] = IMAGES / (time.process_time() - began)
    return rates


def _printed(rounds: list[dict[str, float]]) -> bool:
    rates = {name: [each[name] for each in rounds] for name in rounds[0]}
    ratios = {
        name: statistics.median(each[name] / each["timm"] for each in rounds) for name in rates
    }
    print(
        f"RandAugment, {STORED} -> {SEEN} pixels, one core, images a second, median and range of "
        f"{ROUNDS} rounds (load {os.getloadavg()[0]:.1f}):"
    )
    titles = {
        "timm": "timm on RGB images",
        "pil": "fairfm, timm on grey (same pictures)",
        "tensor": "fairfm, tensors",
    }
    for name, title in titles.items():
        spread = f"{min(rates[name]):,.0f} to {max(rates[name]):,.0f}"
        middle = statistics.median(rates[name])
        print(f"  {title:<37} {middle:7,.0f} ({spread})  ratio {ratios[name]:.2f}")
    print(f"  (goal: {GOAL:g} for tensors)")
    return ratios["tensor"] >= GOAL
