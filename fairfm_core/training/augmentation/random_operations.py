"""The random operations of RandAugment as torchvision has them, on uint8 tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

LAST_BIN = 100
"""torchvision counts magnitude in bins, from 0 to this one, where timm has a scale from 0 to 10.
The ends of both scales agree (shear 0.3, rotation 30 degrees, enhancement 0.9, shift 45 %), so
timm's magnitude m is bin 10 m."""

Operation = tuple[str, float]
"""torchvision's name of an operation, and its signed magnitude."""


class RandomOperations:
    """torchvision's RandAugment in two steps: drawing operations, and applying one to images.

    Unlike timm's: both operations always happen (timm: each with p = 0.5), the magnitude does not
    vary (timm: deviation 0.5), there is "nothing" but no inversion and no added solarisation, and
    posterising keeps 8 to 4 bits (timm: 4 to 0).
    """

    def __init__(self, count: int, magnitude: float, size: int, fill: int) -> None:
        """`magnitude` on timm's scale; `fill` is the grey value beyond the edge, 0 to 255."""
        self._transform = v2.RandAugment(
            num_ops=count,
            magnitude=round(magnitude * LAST_BIN / 10),
            num_magnitude_bins=LAST_BIN + 1,
            interpolation=InterpolationMode.BILINEAR,
            fill=fill,
        )
        self._names = list(self._transform._AUGMENTATION_SPACE)
        self._magnitudes = {name: self._magnitude(name, size) for name in self._names}

    def _magnitude(self, name: str, size: int) -> tuple[float, bool]:
        """The magnitude of an operation, and whether its sign is drawn."""
        by_bin, signed = self._transform._AUGMENTATION_SPACE[name]
        values = by_bin(LAST_BIN + 1, size, size)
        known = values is not None
        return float(values[self._transform.magnitude]) if known else 0.0, signed

    def draw(self) -> list[Operation]:
        """An image's operations, from torch's global generator."""
        return [self._draw_one() for _ in range(self._transform.num_ops)]

    def _draw_one(self) -> Operation:
        name = self._names[int(torch.randint(len(self._names), ()))]
        magnitude, signed = self._magnitudes[name]
        return name, -magnitude if signed and torch.rand(()) <= 0.5 else magnitude

    def apply(self, x_B1SS: Tensor, operation: Operation) -> Tensor:
        """uint8 images of the same shape after `operation`."""
        how = self._transform
        changed: Tensor = how._apply_image_or_video_transform(
            x_B1SS, *operation, interpolation=how.interpolation, fill=how._fill
        )
        return changed
