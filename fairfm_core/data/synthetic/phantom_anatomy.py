"""Draws phantom chest radiographs: body, lungs, spine, ribs, heart, diaphragm and five signs.

Shapes: N images, S pixels per side; coordinates run from -1 to 1, x to the right, y downwards.
Nothing here is random: every number that varies is passed as an array with one value per image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]  # [N, S, S], or [N, 1, 1] for one value per image

PATIENT_VALUES = 16
"""Standard normal numbers that define a patient's anatomy."""
IMAGE_VALUES = 8
"""Standard normal numbers that define one exposure: position, angle, brightness."""


@dataclass(frozen=True)
class Body:
    """The drawn chests of N images, and where things are in them."""

    image: Field
    x: Field
    y: Field
    lungs: tuple[Field, Field]
    """Soft masks of the two lungs, left of the image first."""
    floor: tuple[Field, Field]
    """Height of the diaphragm under each lung."""


def soft(distance: NDArray[np.floating[Any]], width: float) -> Field:
    """A smooth step: 0 well below zero, 1 well above it."""
    return (0.5 * (1 + np.tanh(distance / (2 * width)))).astype(np.float32, copy=False)


def draw_body(
    size: int,
    patient: NDArray[np.float32],
    exposure: NDArray[np.float32],
    enlarged: NDArray[np.float32],
    collapsed: NDArray[np.float32],
) -> Body:
    """The chests of N images.

    Args:
        size: S.
        patient: standard normal numbers of each image's patient [N, PATIENT_VALUES].
        exposure: standard normal numbers of each image [N, IMAGE_VALUES].
        enlarged: relative widening of the heart [N], 0 for none.
        collapsed: how far the diaphragm is drawn up under each lung [N, 2], 0 for none.
    """
    p = [column[:, None, None] for column in patient.T]
    e = [column[:, None, None] for column in exposure.T]
    x, y = _coordinates(size, e)
    wide, tall = 1 + 0.06 * p[0], 1 + 0.06 * p[1]
    torso = soft(1 - (np.abs(x) / (0.92 * wide)) ** 4 - ((y - 0.35) / 1.25) ** 4, 0.05)
    image = 0.05 + 0.5 * torso
    lungs, floors = [], []
    for i, side in enumerate((-1.0, 1.0)):
        centre = side * 0.42 * wide
        u = (x - centre) / (0.30 * wide * (1 + 0.25 * y))
        v = (y + 0.1) / (0.62 * tall)
        floor = 0.38 + 0.05 * p[2 + i] - collapsed[:, i, None, None] + 1.2 * (x - centre) ** 2
        lung = soft(1 - u**2 - v**2, 0.07) * soft(floor - y, 0.02)
        image = image - 0.33 * lung
        lungs.append(lung)
        floors.append(floor)
    air = lungs[0] + lungs[1]
    ribs = np.cos(np.float32(2 * np.pi) * (y * (4.2 + 0.25 * p[4]) + 1.6 * x**2 + 0.3 * p[5]))
    image = image + 0.05 * torso * (0.35 + air) * np.maximum(ribs, 0) ** 2
    spine = np.exp(-(((x - 0.02 * p[6]) / 0.075) ** 2))
    image = image + 0.10 * torso * spine * (1 + 0.3 * np.cos(22 * y + 2 * p[7]))
    radius = 0.25 * (1 + 0.07 * p[8]) * (1 + enlarged[:, None, None])
    u, v = (x - 0.13 - 0.02 * p[9]) / radius, (y - 0.22 - 0.02 * p[10]) / (0.85 * radius)
    image = image + 0.26 * soft(1 - u**2 - v**2, 0.12) * (0.25 + 0.75 * air)
    return Body(image, x, y, (lungs[0], lungs[1]), (floors[0], floors[1]))


def _coordinates(size: int, e: list[Field]) -> tuple[Field, Field]:
    """The coordinates of each pixel in the patient's frame: moved, turned and scaled."""
    grid = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    y0, x0 = np.meshgrid(grid, grid, indexing="ij")
    angle, scale = 0.035 * e[0], 1 + 0.03 * e[1]
    x = (x0 * np.cos(angle) + y0 * np.sin(angle)) / scale - 0.03 * e[2]
    y = (y0 * np.cos(angle) - x0 * np.sin(angle)) / scale - 0.03 * e[3]
    return x.astype(np.float32), y.astype(np.float32)


def draw_signs(
    body: Body, strength: Mapping[str, NDArray[np.float32]], place: NDArray[np.float32]
) -> Field:
    """The chests with those signs that are drawn as added brightness.

    Args:
        body: the chests of N images.
        strength: brightness of each sign in each image [N], 0 where the pathology is absent.
        place: uniform numbers of each image's patient [N, 6]: side and position of the signs.
    """
    s = {name: value[:, None, None] for name, value in strength.items()}
    q = [column[:, None, None] for column in place.T]
    left, right = body.lungs
    one = np.float32(1)
    x, y = body.x, body.y
    image = body.image + s["Edema"] * _hilar_haze(x, y) * (left + right)
    patch = _patch(x, y, np.where(q[0] < 0.7, one, -one) * (0.36 + 0.12 * q[1]), 0.35 * q[2] - 0.35)
    image = image + s["Consolidation"] * patch * (left + right)
    for i, lung in enumerate(body.lungs):
        # Fluid is on one side or, in a third of patients, on both.
        affected = ((q[3] * 3).astype(int) == i) | (q[3] > 2 / 3)
        level = body.floor[i] - 0.16 - 0.9 * np.maximum(np.abs(x) - 0.42, 0)
        image = image + s["Pleural Effusion"] * affected * lung * soft(y - level, 0.03)
        band = np.abs(y - (0.12 + 0.12 * q[4]) - 0.35 * np.abs(x)) - 0.025
        chosen = (q[5] > 0.5) == bool(i)
        image = image + s["Atelectasis"] * chosen * lung * soft(-band, 0.012)
    return image


def _hilar_haze(x: Field, y: Field) -> Field:
    """Haze around both hila, the bat-wing pattern of oedema."""
    return np.exp(-(((np.abs(x) - 0.25) / 0.2) ** 2) - ((y + 0.05) / 0.28) ** 2)


def _patch(x: Field, y: Field, x0: Field, y0: Field) -> Field:
    """A round opacity with a blurred edge."""
    return soft(1 - ((x - x0) / 0.17) ** 2 - ((y - y0) / 0.17) ** 2, 0.2)
