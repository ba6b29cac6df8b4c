"""Random masks of a network in training, drawn for each image from a seed of its own.

timm's DropPath and torch's Dropout draw once for all images that pass together, from a generator of
the device, so their masks depend on how a batch is divided into parts and on what computes it. The
layers here take the mask of an image from the image's seed: the same in any part, on any device, in
any precision, and again where activations are recomputed in the backward pass. Nothing reads or
moves a generator of torch.

Suffixes: L layers, B images that pass at once, R rows of a layer's input (one or more for each
image, those of an image together), E elements of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fairfm_core.errors import BadInput
from fairfm_core.seeding import splitmix, uniform

BITS = 24
"""Bits of an element's number: a share of kept elements is exact to 6e-8."""

# lowbias32 (Wellons 2018), a hash of 32 bits; a shift of signed numbers is masked to an unsigned
# one, and the second factor is 0x846CA68B less 2^32.
ROUNDS = ((16, 0xFFFF, 0x7FEB352D), (15, 0x1FFFF, 0x846CA68B - 2**32), (16, 0xFFFF, 1))


class ImageNoise:
    """The masks of a network's layers for the images that pass next.

    `draw` comes before each forward pass; the masks stay until the next call, so that a part that
    is recomputed in the backward pass sees them again.
    """

    def __init__(self, passes: int = 1) -> None:
        """`passes`: how often a layer is called for each image of a step, with masks of its own."""
        self.passes = passes
        self._kept: list[float] = []
        self._scale: list[float] = []
        self._calls: list[int] = []
        self._factors_LB: Tensor | None = None
        self._keys_LB: Tensor | None = None

    def __len__(self) -> int:
        """Number of layers with masks."""
        return len(self._kept)

    def layer(self, rate: float, scaled: bool = True) -> int:
        """Register a layer that drops a share `rate`; returns its number.

        What is kept is divided by its share if `scaled`.
        """
        kept = 1 - rate
        self._kept.append(kept)
        self._scale.append(1 / kept if scaled and kept > 0 else 1.0)
        self._calls.append(0)
        return len(self._kept) - 1

    def draw(self, seeds: Sequence[int], device: torch.device) -> None:
        """Set the images that pass next, by a seed of each."""
        if not self._kept:
            return
        numbers_LB = splitmix(seeds, len(self) * self.passes)
        kept_L1 = np.repeat(np.array(self._kept, np.float32), self.passes)[:, None]
        scale_L1 = np.repeat(np.array(self._scale, np.float32), self.passes)[:, None]
        factors_LB = torch.from_numpy((uniform(numbers_LB) < kept_L1) * scale_L1)
        keys_LB = torch.from_numpy(numbers_LB.astype(np.uint32).view(np.int32))
        self._factors_LB, self._keys_LB = (
            x.to(device, non_blocking=True) for x in (factors_LB, keys_LB)
        )
        self._calls = [0] * len(self)

    def rows(self, layer: int, count: int) -> Tensor:
        """What multiplies each of `count` rows of the layer's input, float32 [R]: 0 where it is
        dropped."""
        assert self._factors_LB is not None, "no images were drawn before they passed"
        place = self._place(layer)
        if count == self._factors_LB.shape[1]:
            return self._factors_LB[place]
        each = self._of_each(count)
        return (self._elements(place, each) < self._limit(layer)).flatten() * self._scale[layer]

    def elements(self, layer: int, x: Tensor) -> Tensor:
        """The layer's input without the elements that are dropped, the others scaled."""
        number_BE = self._elements(self._place(layer), self._of_each(x.numel()))
        kept = (number_BE < self._limit(layer)).view_as(x)
        return torch.where(kept, x * self._scale[layer], 0)

    def _place(self, layer: int) -> int:
        """The row of the layer's draws in this pass."""
        if self.passes == 1:  # counting would be wrong where a pass is recomputed
            return layer
        self._calls[layer] += 1
        assert self._calls[layer] <= self.passes, "more passes than were drawn"
        return layer * self.passes + self._calls[layer] - 1

    def _of_each(self, count: int) -> int:
        assert self._keys_LB is not None, "no images were drawn before they passed"
        images = self._keys_LB.shape[1]
        assert count % images == 0, f"{count} rows or elements of {images} images"
        return count // images

    def _limit(self, layer: int) -> int:
        return round(self._kept[layer] * 2**BITS)

    def _elements(self, place: int, count: int) -> Tensor:
        """A number of 24 bits for each element, int32 [B, E]: a hash of the image's and its own."""
        assert self._keys_LB is not None
        key_B1 = self._keys_LB[place][:, None]
        z_BE = key_B1 + torch.arange(count, dtype=torch.int32, device=key_B1.device)
        for shift, unsigned, factor in ROUNDS:
            z_BE ^= (z_BE >> shift) & unsigned
            z_BE *= factor
        return (z_BE >> (32 - BITS)) & (2**BITS - 1)


class ImageDropPath(DropPath):
    """Stochastic depth (Huang et al. 2016): a residual branch is dropped for whole images."""

    def __init__(self, plain: DropPath, noise: ImageNoise) -> None:
        super().__init__(plain.drop_prob, plain.scale_by_keep)
        self.noise, self.layer = noise, noise.layer(plain.drop_prob, plain.scale_by_keep)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        factors_R = self.noise.rows(self.layer, len(x)).to(x.dtype)
        return x * factors_R.view(-1, *[1] * (x.ndim - 1))


class ImageDropout(nn.Dropout):
    """Dropout of single elements."""

    def __init__(self, plain: nn.Dropout, noise: ImageNoise) -> None:
        super().__init__(plain.p)
        self.noise, self.layer = noise, noise.layer(plain.p)

    def forward(self, input: Tensor) -> Tensor:
        return self.noise.elements(self.layer, input) if self.training else input


def draw_by_image(network: nn.Module, passes: int = 1) -> ImageNoise:
    """Replace the network's layers that draw masks by those that draw them for each image.

    Names and parameters stay. Where attention drops weights it is unfused: a fused kernel draws
    from the device's generator. The network must not be trained without `ImageNoise.draw`.
    """
    noise = ImageNoise(passes)
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, DropPath) and layer.drop_prob:
                setattr(parent, name, ImageDropPath(layer, noise))
            elif isinstance(layer, nn.Dropout) and layer.p:
                setattr(parent, name, ImageDropout(layer, noise))
        if isinstance(getattr(parent, "attn_drop", None), ImageDropout):
            parent.fused_attn = False  # type: ignore[assignment]
    return noise


class _Draws(TorchDispatchMode):
    """Collects the names of operations that draw from a generator."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def refuse_shared_draws(name: str, forward: Callable[[], object]) -> None:
    """Raises BadInput if a forward pass in training draws from a generator that no image owns.

    Its results would depend on how many images fit into memory. `name` is that of the network, in
    which `draw_by_image` replaced what can be.
    """
    with _Draws() as draws:
        forward()
    if draws.names:
        raise BadInput(
            f"backbone {name!r} draws random numbers for all images together "
            f"({', '.join(sorted(draws.names))}), so its results would depend on the memory of the "
            "machine: leave out the option that asks for them (such as drop_rate or "
            "patch_drop_rate); drop_path, proj_drop_rate and attn_drop_rate draw for each image"
        )
