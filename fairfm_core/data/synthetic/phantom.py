"""Phantom radiographs: a synthetic cohort and its images, drawn from a `PhantomWorld`.

The random numbers of a patient and of an image depend only on the world's seed and their ids. So
worlds that differ only in effect have the same patients, the same anatomy and the same grain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.data.readers.source import ReadOptions, Source
from fairfm_core.data.synthetic.phantom_anatomy import (
    IMAGE_VALUES,
    PATIENT_VALUES,
    draw_body,
    draw_signs,
)
from fairfm_core.data.synthetic.phantom_world import GROUPS, PhantomWorld, load_world
from fairfm_core.seeding import stream

DRAWING = 1
"""Increased whenever the same world would give other pixels or labels."""
IMAGES_PER_PATIENT = (0.45, 0.27, 0.15, 0.08, 0.05)
"""Shares of patients with one to five images; the mean is 2.0."""
PATIENT_EFFECT = 1.0
"""Standard deviation of a patient's log-odds, which correlates the images of a patient."""
BRIGHTNESS = {"Atelectasis": 0.19, "Consolidation": 0.08, "Edema": 0.04, "Pleural Effusion": 0.09}
ENLARGEMENT = 0.15
GRAIN = 64
"""Points per side of the grid on which the grain is drawn, whatever the size of the image."""
CHUNK_PIXELS = 1 << 19


def phantom_cohort(world: PhantomWorld) -> pd.DataFrame:
    """The cohort of a world, without a split: one row per image, `row` counting from 0."""
    n, most = world.patients, len(IMAGES_PER_PATIENT)
    ids = np.array([f"p{i:06d}" for i in range(n)])
    who = stream(world.seed, "phantom", "attributes").random((n, 3))
    age = stream(world.seed, "phantom", "age").standard_normal(n) * 16 + 62
    sex, race = (_choose(who[:, i], world.shares[name]) for i, name in enumerate(("sex", "race")))
    patients = pd.DataFrame({"patient_id": ids, "sex": sex, "race": race})
    patients["age"] = np.clip(np.round(age), 18, 90)
    count = 1 + np.searchsorted(np.cumsum(IMAGES_PER_PATIENT)[:-1], who[:, 2], side="right")
    of = np.repeat(np.arange(n), count)
    which = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    frame = patients.iloc[of].reset_index(drop=True)
    frame.insert(0, "image_id", [f"{ids[i]}_{k + 1}" for i, k in zip(of, which, strict=True)])
    shift = _planted(world, frame, "prevalence").sum(axis=1)
    for pathology, prevalence in world.prevalence.items():
        trait = stream(world.seed, "phantom", "trait", pathology).standard_normal(n)
        chance = stream(world.seed, "phantom", "label", pathology).random((n, most))
        # The factor keeps the marginal prevalence as asked under the patients' random effect.
        middle = np.log(prevalence / (1 - prevalence)) * np.sqrt(1 + 0.346 * PATIENT_EFFECT**2)
        odds = middle + PATIENT_EFFECT * trait[of] + shift
        frame[f"y_{pathology}"] = (chance[of, which] < 1 / (1 + np.exp(-odds))).astype(np.float64)
    return frame.assign(row=np.arange(len(frame)))


def draw_phantom(world: PhantomWorld, frame: pd.DataFrame) -> NDArray[np.uint8]:
    """The images of `frame`'s rows, grey uint8 [N, image_size, image_size].

    An image depends on the world and on the row's ids, labels and attributes; at effect 0 the
    attributes have no influence.
    """
    size = world.image_size
    images = np.empty((len(frame), size, size), dtype=np.uint8)
    step = max(1, CHUNK_PIXELS // size**2)
    for start in range(0, len(frame), step):
        images[start : start + step] = _draw_chunk(world, frame.iloc[start : start + step])
    return images


def read_phantom(source: str, options: ReadOptions) -> Source:
    """A phantom world as a source; `source` is the name of a world or a YAML file of its fields."""
    world = load_world(
        source,
        image_size=options.size,
        effect=options.effect,
        patients=options.patients,
        seed=options.seed,
    )
    frame = phantom_cohort(world)
    return Source(
        frame=frame,
        notes={},
        origin={"world": _content(world), "drawing": DRAWING},
        size=world.image_size,
        draw=lambda rows: draw_phantom(world, frame.iloc[rows]),
        interpolation="drawn",
    )


def _content(world: PhantomWorld) -> dict[str, Any]:
    """The world's fields without default shares.

    Data sets prepared before shares could be set keep their identity and are still reused.
    """
    left_out = {"shares"} if world.shares == GROUPS else set()
    return world.model_dump(mode="json", exclude=left_out)


def _choose(uniform: NDArray[np.float64], shares: dict[str, float]) -> NDArray[np.str_]:
    cuts = np.cumsum(list(shares.values()))[:-1]
    return np.array(list(shares))[np.searchsorted(cuts, uniform, side="right")]


def _planted(world: PhantomWorld, frame: pd.DataFrame, what: str) -> NDArray[np.float64]:
    """Effect x the planted value of each row for each attribute with planted values, [N, A]."""
    columns = [np.zeros(len(frame))]
    for attribute, groups in world.planted.items():
        by_group = {group: getattr(planted, what) for group, planted in groups.items()}
        columns.append(frame[attribute].map(by_group).fillna(0.0).to_numpy(dtype=np.float64))
    return world.effect * np.stack(columns, axis=1)


def _factor(world: PhantomWorld, frame: pd.DataFrame, what: str) -> NDArray[np.float32]:
    """The product over attributes of 1 + effect x planted value, never negative, [N]."""
    return np.maximum(1 + _planted(world, frame, what), 0).prod(axis=1).astype(np.float32)


def _draw_chunk(world: PhantomWorld, frame: pd.DataFrame) -> NDArray[np.uint8]:
    """One chunk of images: body, signs, grain, exposure."""
    normal, place = _patient_numbers(world, frame["patient_id"])
    exposure, severity, grain = _image_numbers(world, frame["image_id"])
    contrast = _factor(world, frame, "contrast") * np.exp(0.25 * severity)
    strength = {
        pathology: contrast * np.float32(scale) * frame[f"y_{pathology}"].to_numpy(np.float32)
        for pathology, scale in world.contrast.items()
    }
    collapsed = 0.07 * strength["Atelectasis"][:, None] * _one_side(place[:, 5])
    enlarged = ENLARGEMENT * strength["Cardiomegaly"]
    body = draw_body(world.image_size, normal, exposure, enlarged, collapsed)
    bright = {name: strength[name] * np.float32(scale) for name, scale in BRIGHTNESS.items()}
    image = draw_signs(body, bright, place)
    noise = np.float32(world.noise) * _factor(world, frame, "noise")
    image = image + noise[:, None, None] * _resize(grain, world.image_size)
    gain, lift = 1 + 0.06 * exposure[:, 4], 0.03 * exposure[:, 5]
    image = image * gain[:, None, None] + lift[:, None, None]
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _one_side(uniform: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, 2]: 1 on the side of the sign, 0 on the other."""
    return np.stack([uniform <= 0.5, uniform > 0.5], axis=1).astype(np.float32)


def _patient_numbers(
    world: PhantomWorld, patients: pd.Series
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Standard normal numbers of each anatomy, uniform numbers of the places of its signs."""
    drawn = {}
    for patient in patients.unique():
        rng = stream(world.seed, "phantom", "patient", patient)
        drawn[patient] = (rng.standard_normal(PATIENT_VALUES), rng.random(6))
    pairs = [drawn[patient] for patient in patients]
    normal = np.array([pair[0] for pair in pairs], dtype=np.float32)
    return normal, np.array([pair[1] for pair in pairs], dtype=np.float32)


def _image_numbers(world: PhantomWorld, images: pd.Series) -> tuple[NDArray[np.float32], ...]:
    """Standard normal numbers: exposure [N, 8], severity [N], grain [N, GRAIN, GRAIN]."""
    streams = [stream(world.seed, "phantom", "image", image) for image in images]
    numbers = np.stack([rng.standard_normal(IMAGE_VALUES + 1, dtype=np.float32) for rng in streams])
    grain = np.stack([rng.standard_normal((GRAIN, GRAIN), dtype=np.float32) for rng in streams])
    return numbers[:, :IMAGE_VALUES], numbers[:, IMAGE_VALUES], grain


def _resize(grain: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The grain at another size, by linear interpolation between its points."""
    if size == GRAIN:
        return grain
    at = np.clip((np.arange(size) + 0.5) * GRAIN / size - 0.5, 0, GRAIN - 1)
    weights = np.maximum(1 - np.abs(at[:, None] - np.arange(GRAIN)), 0).astype(np.float32)
    return np.asarray(weights @ grain @ weights.T)
