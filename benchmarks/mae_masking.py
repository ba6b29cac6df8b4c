"""Masked autoencoding: what hiding patches saves the encoder, and a step against a plain one.

The other side is what one would write from the paper with timm's parts: every patch is embedded,
visible ones are picked and put back by boolean indexing, every patch is predicted, and the mask
comes last. Both sides have the same weights, images and masks, and give the same loss. CPU seconds
on one thread, turn by turn, medians of the rounds: other work on the machine counts for less.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.sizes import sized
from fairfm_core.config.backbone import Backbone
from fairfm_core.models.mae import MaskedAutoencoder, patches_at, patchify, random_masking

BATCH, ROUNDS = sized(16, 2), sized(7, 1)
MODEL = "vit_tiny_patch16_224"
DECODERS = {
    "a decoder of 192 x 2": {"decoder_dim": 192, "decoder_depth": 2, "decoder_heads": 3},
    "the paper's of 512 x 8": {"decoder_dim": 512, "decoder_depth": 8, "decoder_heads": 16},
}
GOAL_ENCODER, GOAL_STEP, NOISE = 3.0, 1.0, 0.03
"""The step is to be as fast; medians of two equal sides differ by a few per cent."""


def bench_mae_masking() -> bool:
    """Print times and operations of both comparisons; whether the goals are met."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        met = [_encoder(), *(_step(name) for name in DECODERS)]
    finally:
        torch.set_num_threads(threads)
    return all(met)


def _data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images_BCHW = torch.randn(BATCH, 3, 224, 224, generator=generator)
    return images_BCHW, torch.rand(BATCH, 196, generator=generator)


def _medians(sides: dict[str, Callable[[], object]]) -> dict[str, float]:
    """CPU seconds of each side, the median of rounds in which they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS + 1):
        for name, work in sides.items():
            started = time.process_time()
            work()
            if number > 0:  # the first round warms up
                seconds[name].append(time.process_time() - started)
    return {name: statistics.median(found) for name, found in seconds.items()}


def _encoder() -> bool:
    model = MaskedAutoencoder(Backbone(name=MODEL), seed=0, **DECODERS["a decoder of 192 x 2"])
    images_BCHW, noise_BN = _data()
    patches_BNP = patchify(images_BCHW, model.patch)
    places = {
        "all 196 patches": torch.arange(196).expand(BATCH, -1),
        "the 49 visible": random_masking(noise_BN, 0.75).visible_BV,
    }

    def encode(name: str) -> Tensor:
        return model.encode(patches_at(patches_BNP, places[name]), places[name])

    seconds = _medians(
        {name: lambda n=name: encode(n).square().mean().backward() for name in places}
    )
    operations = {name: _operations(lambda n=name: encode(n)) / BATCH for name in places}
    print(f"encoding with {MODEL}, batch {BATCH}, 224 px, one thread, forward and backward:")
    for name in places:
        rate = BATCH / seconds[name]
        print(f"  {name:16} {rate:7.1f} images/s, {operations[name] / 1e9:.3f} GFLOP forward")
    time_ratio, operation_ratio = (
        each["all 196 patches"] / each["the 49 visible"] for each in (seconds, operations)
    )
    print(
        f"  ratio of times {time_ratio:.2f} (goal {GOAL_ENCODER:g}), "
        f"of operations {operation_ratio:.2f}"
    )
    return time_ratio >= GOAL_ENCODER


def _operations(work: Callable[[], object]) -> int:
    # The counter knows attention only where it is made of plain products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _step(decoder: str) -> bool:
    ours = MaskedAutoencoder(Backbone(name=MODEL), seed=0, **DECODERS[decoder])
    theirs = _Plain(copy.deepcopy(ours))
    images_BCHW, noise_BN = _data()
    losses = [model(images_BCHW, noise_BN) for model in (ours, theirs)]
    torch.testing.assert_close(*losses)

    def trainer(model: nn.Module) -> Callable[[], None]:
        trained = [value for value in model.parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05)

        def step() -> None:
            optimizer.zero_grad()
            model(images_BCHW, noise_BN).backward()
            optimizer.step()

        return step

    seconds = _medians({"plain": trainer(theirs), "fairfm": trainer(ours)})
    ratio = seconds["plain"] / seconds["fairfm"]
    print(f"a step of masked autoencoding of {MODEL} with {decoder}, batch {BATCH}, images/s:")
    for name, found in seconds.items():
        print(f"  {name:7} {BATCH / found:6.2f}")
    goal = f"goal {GOAL_STEP:g} less {NOISE:g} of noise"
    print(f"  ratio {ratio:.3f} ({goal}); the same loss, {losses[0].item():.4f}")
    return ratio >= GOAL_STEP - NOISE


class _Plain(nn.Module):
    """The paper's steps in the image's order, the mask as booleans [B, N]."""

    def __init__(self, parts: MaskedAutoencoder) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, images_BCHW: Tensor, noise_BN: Tensor) -> Tensor:
        visible_BN = noise_BN.argsort(dim=1).argsort(dim=1) < 49
        predicted_BNP = self._decode(self._encode(images_BCHW, visible_BN), visible_BN)
        target_BNP = patchify(images_BCHW, 16)
        mean = target_BNP.mean(dim=-1, keepdim=True)
        variance = target_BNP.var(dim=-1, keepdim=True)
        target_BNP = (target_BNP - mean) / (variance + 1e-6) ** 0.5
        losses_BN = ((predicted_BNP - target_BNP) ** 2).mean(dim=-1)
        return losses_BN[~visible_BN].mean()

    def _encode(self, images_BCHW: Tensor, visible_BN: Tensor) -> Tensor:
        vit = self.parts.encoder
        x = vit.patch_embed(images_BCHW) + vit.pos_embed[:, 1:]
        x = x[visible_BN].reshape(len(x), -1, x.shape[-1])
        x = torch.cat([vit.cls_token.expand(len(x), -1, -1), x], dim=1)
        return vit.norm(vit.blocks(x))

    def _decode(self, tokens_BTD: Tensor, visible_BN: Tensor) -> Tensor:
        known = self.parts.decoder_embed(tokens_BTD)
        x = self.parts.mask_token.repeat(*visible_BN.shape, 1)
        x[visible_BN] = known[:, 1:].flatten(0, 1)
        x = torch.cat([known[:, :1], x], dim=1) + self.parts.decoder_pos_embed
        x = self.parts.decoder_norm(self.parts.decoder_blocks(x))
        return self.parts.decoder_pred(x)[:, 1:]
