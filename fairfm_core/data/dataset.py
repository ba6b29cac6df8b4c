"""Prepared data sets: opened by every trial, verified byte by byte on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.data.cohort import attributes, cohort_digest, pathologies, read_cohort
from fairfm_core.data.image_store.store import open_images, store_digest
from fairfm_core.data.manifest import COHORT, IMAGES, Manifest, read_manifest
from fairfm_core.errors import BadInput


@dataclass(frozen=True)
class PreparedData:
    """A cohort and its decoded images.

    Attributes:
        folder: where it is on this machine; never part of an identity.
        frame: the cohort, ordered by `row`; `images[frame["row"]]` are its images.
        images: uint8 [N, S, S], a read-only memory map.
        digest: identity of the content: images, cohort, size and interpolation.
        image_size: S, height and width of the images.
        pathologies: label names in alphabetical order.
        attributes: columns that can be protected attributes: sex, race, age, then others.
        manifest: where the data came from, with counts and notes.
    """

    folder: Path
    frame: pd.DataFrame
    images: NDArray[np.uint8]
    digest: str
    image_size: int
    pathologies: tuple[str, ...]
    attributes: tuple[str, ...]
    manifest: Manifest


def open_dataset(folder: str | Path) -> PreparedData:
    """The prepared data set in `folder`, after quick checks that its parts belong together.

    Raises:
        BadInput: no such folder or manifest (with the command that makes one), another schema
            version, an invalid cohort, or parts of different lengths.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    frame = read_cohort(folder / COHORT)
    images = open_images(folder / IMAGES)
    expected = (manifest.counts["images"], manifest.size, manifest.size)
    if images.shape != expected or images.dtype != np.uint8:
        raise BadInput(
            f"{folder / IMAGES} holds {images.dtype} {images.shape}, its manifest says uint8 "
            f"{expected}; prepare the data set again"
        )
    if len(frame) != len(images) or frame["row"].iloc[-1] != len(images) - 1:
        raise BadInput(
            f"{folder / COHORT} has {len(frame)} rows up to row {frame['row'].iloc[-1]} for "
            f"{len(images)} images; prepare the data set again"
        )
    return PreparedData(
        folder=folder,
        frame=frame,
        images=images,
        digest=manifest.digest,
        image_size=manifest.size,
        pathologies=pathologies(frame),
        attributes=attributes(frame),
        manifest=manifest,
    )


def verify(folder: str | Path) -> PreparedData:
    """The data set in `folder`, with every byte checked: digests, leakage, labels and groups.

    Raises:
        BadInput: as `open_dataset`, or where the content differs from its digest.
    """
    data = open_dataset(folder)
    digests = {"images": store_digest(data.folder / IMAGES), "cohort": cohort_digest(data.frame)}
    expected = data.manifest.digests.model_dump()
    wrong = [name for name in expected if digests[name] != expected[name]]
    if wrong:
        raise BadInput(
            f"the {' and '.join(wrong)} of {folder} changed after preparation (SHA-256 differs "
            f"from the manifest's); prepare the data set again"
        )
    return data
