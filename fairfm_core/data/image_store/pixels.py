"""The largest image that is decoded; checked against a file's header before it is unpacked."""

from __future__ import annotations

MAX_PIXELS = 100_000_000
"""Radiographs have under 20 million pixels; more means a damaged header or a decompression bomb."""


def check_pixels(width: int, height: int) -> None:
    """Raises ValueError for an image of more than `MAX_PIXELS` pixels."""
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels")
