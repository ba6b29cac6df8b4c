"""Masks that belong to an image against timm's: does a batch in parts keep its gradient, and what
does it cost?

Both sides are the same network on the same images, in one process on one thread, in turns; the
ratio of times is the median over rounds of the ratio in a round, in CPU time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fairfm_core.config.backbone import Backbone
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.image_noise import draw_by_image
from fairfm_core.seeding import image_seeds, stream_seed

BATCH, LABELS, ROUNDS = 16, 14, 40
PARTS = (1, 2, 4, 8)
MOST_DIFFERENCE, MOST_TIME = 1e-5, 1.02
CPU = torch.device("cpu")
VIT = Backbone(
    name="vit_tiny_patch16_224",
    image_size=32,
    channels=1,
    options={"patch_size": 8, "embed_dim": 64, "num_heads": 4, "depth": 12},
)
Draw = Callable[[int, slice], None]
"""Sets the masks of some images of a step."""


def bench_image_noise() -> bool:
    """Print how far the gradient moves in parts, and the time of a step; whether both are met."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    plain, ours = _network(), _network()
    noise = draw_by_image(ours)

    def by_part(step: int, part: slice) -> None:
        if part.start == 0:
            torch.manual_seed(stream_seed(0, "noise", step))

    def by_image(step: int, part: slice) -> None:
        noise.draw(image_seeds(0, BATCH, "noise", step)[part], CPU)

    worst = [_worst(plain, by_part), _worst(ours, by_image)]
    ratio = _ratio((plain, by_part), (ours, by_image))
    torch.set_num_threads(threads)
    print(f"stochastic depth of {VIT.name} (12 blocks, rate 0.2), {BATCH} images in parts:")
    print(f"  relative difference of the gradient, drawn by timm {worst[0]:.2g}")
    print(f"  relative difference of the gradient, by image      {worst[1]:.2g}")
    print(f"  time of a step, by image over timm                 {ratio:.3f}")
    return worst[1] < MOST_DIFFERENCE and ratio < MOST_TIME


def _network() -> nn.Module:
    return build_backbone(
        VIT, method="end_to_end", pool="auto", classes=LABELS, seed=0, drop_path=0.2
    ).train()


def _step(network: nn.Module, draw: Draw, step: int, size: int) -> None:
    """Leave the gradient of a batch that passes in parts of `size` images."""
    generator = torch.Generator().manual_seed(0)
    x_BCHW = torch.randn(BATCH, 1, 32, 32, generator=generator)
    y_BP = torch.randint(0, 2, (BATCH, LABELS), generator=generator).float()
    network.zero_grad(set_to_none=True)
    for start in range(0, BATCH, size):
        part = slice(start, start + size)
        draw(step, part)
        cost = F.binary_cross_entropy_with_logits(network(x_BCHW[part]), y_BP[part])
        (cost * len(x_BCHW[part]) / BATCH).backward()


def _gradient(network: nn.Module, draw: Draw, size: int) -> Tensor:
    _step(network, draw, 3, size)
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def _worst(network: nn.Module, draw: Draw) -> float:
    """The largest difference between the gradient in parts and that of the whole batch."""
    whole = _gradient(network, draw, BATCH)
    parts = (_gradient(network, draw, size) for size in PARTS)
    return max(float((part - whole).norm() / whole.norm()) for part in parts)


def _ratio(theirs: tuple[nn.Module, Draw], ours: tuple[nn.Module, Draw]) -> float:
    ratios = []
    for number in range(ROUNDS + 1):
        seconds = []
        for network, draw in (theirs, ours):
            started = time.process_time()
            _step(network, draw, number, BATCH)
            seconds.append(time.process_time() - started)
        ratios += [seconds[1] / seconds[0]] if number else []  # the first round warms up
    return statistics.median(ratios)
