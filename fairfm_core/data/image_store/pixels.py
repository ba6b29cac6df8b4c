"""Limits and checks of decoded pixels."""

from __future__ import annotations

MAX_PIXELS = 100_000_000
"""A radiograph has under 20 million pixels; more is a damaged header or a decompression bomb."""


def check_pixels(width: int, height: int) -> None:
    """Raises ValueError for more pixels than a radiograph has, before they are unpacked."""
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels")
