"""Prepared data sets: opened and verified by every trial.

Opening verifies the cohort wholly and the images' checksums; an image is verified whenever it is
read. `verify` reads every byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.data.cohort import attributes, cohort_digest, pathologies, read_cohort
from fairfm_core.data.image_store.hashes import ImageHashes, hash_images, read_hashes
from fairfm_core.data.image_store.store import open_images, store_digest
from fairfm_core.data.manifest import COHORT, HASHES, IMAGES, Manifest, read_manifest
from fairfm_core.data.node_copy import local_folder
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.storage.checksums import checksum_of
from fairfm_core.storage.file_store import is_remote


@dataclass(frozen=True)
class PreparedData:
    """A cohort and its decoded images.

    Attributes:
        folder: where it is on this machine; never part of an identity.
        frame: the cohort, ordered by `row`; `images[frame["row"]]` are its images.
        images: uint8 [N, S, S], a read-only memory map; `read_rows` verifies what it reads.
        digest: identity of the content, as in the manifest.
        image_size: S, height and width of the images.
        pathologies: label names in alphabetical order.
        attributes: columns that can be protected attributes: sex, race, age, then others.
        manifest: where the data came from, with counts and notes.
        hashes: of each image, [N]; None for a data set without checksums.
        source: the URI that the folder is a copy of; empty for a folder that was asked for.
    """

    folder: Path
    frame: pd.DataFrame
    images: NDArray[np.uint8]
    digest: str
    image_size: int
    pathologies: tuple[str, ...]
    attributes: tuple[str, ...]
    manifest: Manifest
    hashes: ImageHashes | None = None
    source: str = ""

    @property
    def place(self) -> str:
        """Where it was asked for: a path or a URI."""
        return self.source or str(self.folder)

    @property
    def unsealed(self) -> str:
        """Why pixels are read unverified and what to do, in one line; empty if verified."""
        if self.hashes is not None:
            return ""
        return (
            f"{self.place} has no checksums of its images (an earlier version prepared it), so "
            f"their pixels are not verified; add them with: fairfm data seal {self.place}"
        )

    @cached_property
    def image_hashes(self) -> ImageHashes:
        """The hashes of each image, [N]; made now where the data set has none."""
        return hash_images(self.images) if self.hashes is None else self.hashes


def open_dataset(folder: str | Path, manifest: Manifest | None = None) -> PreparedData:
    """The prepared data set in `folder`, its cohort and the images' checksums verified.

    What is at a URI is copied to this machine once (`node_copy`).

    A data set that an earlier version prepared has no checksums of its images: they are read
    unverified.

    Args:
        folder: as `fairfm data prepare` made it; a path or a URI.
        manifest: what to take for its manifest; by default the one in the folder.

    Raises:
        BadInput: no such folder or manifest (with the command that makes one), another schema
            version, a cohort that is invalid or changed after preparation, damaged checksums, or
            parts of different lengths.
    """
    place, folder = folder, local_folder(folder)
    manifest = manifest or read_manifest(folder)
    frame = _prepared_cohort(folder, manifest)
    checksums, hashes = manifest.checksums, None
    if checksums is not None:
        hashes = read_hashes(folder / HASHES, checksums.hashes)
    images = open_images(folder / IMAGES, None if hashes is None else hashes["checksum"])
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
    assert hashes is None or len(hashes) == len(images)
    return PreparedData(
        folder=folder,
        frame=frame,
        images=images,
        digest=manifest.digest,
        image_size=manifest.size,
        pathologies=pathologies(frame),
        attributes=attributes(frame),
        manifest=manifest,
        hashes=hashes,
        source=place if isinstance(place, str) and is_remote(place) else "",
    )


def _prepared_cohort(folder: Path, manifest: Manifest) -> pd.DataFrame:
    """The cohort in a folder; BadInput if it is invalid, or not the one that was prepared."""
    path = folder / COHORT
    frame = read_cohort(path)
    checksums = manifest.checksums
    if checksums is not None and checksum_of(path.read_bytes()) == checksums.cohort:
        return frame
    if cohort_digest(frame) != manifest.digests.cohort:
        raise BadInput(
            f"the cohort of {folder} changed after preparation ({COHORT} differs from the "
            f"manifest's digest); prepare the data set again"
        )
    return frame


def verify(folder: str | Path, manifest: Manifest | None = None) -> PreparedData:
    """As `open_dataset`, with every byte checked: digests, leakage, labels and groups.

    Raises:
        BadInput: as `open_dataset`, or where the images differ from their digest or checksums.
    """
    data = open_dataset(folder, manifest)
    changed = _changed_images(data)
    if changed:
        raise BadInput(
            f"the images of {data.place} changed after preparation ({changed}); prepare the data "
            "set again"
        )
    return data


def _changed_images(data: PreparedData) -> str:
    """How the images differ from those that were prepared; empty if they do not."""
    if store_digest(data.folder / IMAGES) == data.manifest.digests.images:
        return ""
    if data.hashes is None:
        return f"SHA-256 of {IMAGES} differs from the manifest's"
    now_N = hash_images(data.images)["checksum"]
    rows = np.flatnonzero((now_N != data.hashes["checksum"]).any(axis=1))
    return f"checksums of {len(rows)} differ in row {first_ten(rows)} of {IMAGES}"
