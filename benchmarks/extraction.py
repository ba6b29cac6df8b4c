"""Features of a frozen transformer on all cores: this program against a plain loop of timm's.

The other side is what one would write with timm: its model in evaluation mode, batches of 64 from
the same stored images, all cores as threads of one process. Ours is the features stage's pass: the
same network, one thread a process, a process for each core. Both sides take turns in one process.
CPU seconds of all processes count, since other work on the machine takes time from both: they say
what the pass costs, and on idle cores its duration too.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.sizes import sized
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.frozen import Precision
from fairfm_core.cores import allowed_cores, cores_lent, processor_name
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.class_token import only_class_token
from fairfm_core.training import shared_pass
from fairfm_core.training.augmentation.transforms import to_input
from fairfm_core.training.features import BATCH
from fairfm_core.training.forward import NetworkPass, whole_images

SIZE, PLAIN_BATCH, ROUNDS = sized(224, 64), 64, sized(3, 1)
IMAGES = sized(
    {"vit_small_patch16_224": 128, "vit_base_patch16_224": 64}, {"vit_small_patch16_224": 8}
)
GOALS: dict[Precision, float] = {"fp32": 1.2, "bf16": 2.5}
CLOSE = 1e-5
"""Largest difference of features in float32, as a share of their largest."""
CPU = torch.device("cpu")


def bench_extraction() -> bool:
    """Print images a second of CPU time on both sides, and the ratios; whether they are met."""
    cores = allowed_cores()
    print(
        f"frozen features, {SIZE} px, {cores} cores of {processor_name()}, "
        f"load {os.getloadavg()[0]:.1f}, images a second of CPU time:"
    )
    met = [_compare(name, count, cores) for name, count in IMAGES.items()]
    return all(met)


def _compare(name: str, count: int, cores: int) -> bool:
    backbone = Backbone(name=name, image_size=SIZE)
    images_NHW = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)
    plain = build_backbone(backbone, method="linear_probe", pool="auto", classes=0, seed=0).eval()
    fast = copy.deepcopy(plain)
    only_class_token(fast)
    sides: dict[str, Callable[[], Tensor]] = {
        "timm, fp32": lambda: _plain(plain, backbone, images_NHW, cores),
        "fairfm, fp32": lambda: _ours(fast, backbone, images_NHW, cores, "fp32"),
        "fairfm, bf16": lambda: _ours(fast, backbone, images_NHW, cores, "bf16"),
    }
    rates, found = _rates(sides, count)
    theirs = found["timm, fp32"]
    off = float((found["fairfm, fp32"] - theirs).abs().max() / theirs.abs().max())
    print(f"  {name}, {count} images; features differ by {off:.1e} of the largest:")
    for side, rate in rates.items():
        print(f"    {side:14} {rate:6.2f}  ratio {rate / rates['timm, fp32']:.2f}")
    met = all(rates[f"fairfm, {p}"] >= goal * rates["timm, fp32"] for p, goal in GOALS.items())
    print(f"    (goals {GOALS['fp32']:g}, and {GOALS['bf16']:g} where there are units for bf16)")
    return met and off < CLOSE


@torch.inference_mode()
def _plain(model: nn.Module, backbone: Backbone, images_NHW: np.ndarray, cores: int) -> Tensor:
    torch.set_num_threads(cores)
    pixels_NHW = torch.from_numpy(images_NHW)
    return torch.cat([model(to_input(x_BHW, backbone)) for x_BHW in pixels_NHW.split(PLAIN_BATCH)])


def _ours(
    model: nn.Module, backbone: Backbone, images_NHW: np.ndarray, cores: int, precision: Precision
) -> Tensor:
    torch.set_num_threads(1)
    rows_N = np.arange(len(images_NHW))
    view = whole_images(backbone, images_NHW, rows_N)
    with cores_lent(lambda used, most: min(most, cores - 1)):
        return NetworkPass(model, [view], BATCH["cpu"], CPU, precision).run()[0]


def _rates(
    sides: dict[str, Callable[[], Tensor]], count: int
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Images a second of CPU time, the best round of each side, and what it computes."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    found = {}
    shared_pass.HELP_SECONDS, shared_pass.ASK_SECONDS = 0.0, 0.0
    for _ in range(ROUNDS):
        for name, work in sides.items():
            before = sum(os.times()[:4])
            found[name] = work()
            seconds[name].append(sum(os.times()[:4]) - before)
    return {name: count / min(each) for name, each in seconds.items()}, found
