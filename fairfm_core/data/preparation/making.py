"""Makes the parts of a prepared data set in a partial folder and publishes them, manifest last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.data.cohort import cohort_digest, write_cohort
from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.data.image_store.grey_levels import ReadingChoices, reading_notes
from fairfm_core.data.image_store.hashes import hash_images, write_hashes
from fairfm_core.data.image_store.store import copy_rows, open_images, store_digest
from fairfm_core.data.manifest import (
    COHORT,
    HASHES,
    IMAGES,
    READING,
    Checksums,
    Digests,
    Manifest,
    write_manifest,
)
from fairfm_core.data.population.steps import dropped_notes, images_dropped
from fairfm_core.data.preparation.filling import (
    Maker,
    ProgressCallback,
    decoder,
    drawer,
    fill_store,
)
from fairfm_core.data.preparation.journal import file_signature
from fairfm_core.data.preparation.partial import PartialStore, partial_store
from fairfm_core.data.readers.source import MISSING, Source
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.storage.checksums import checksum_of
from fairfm_core.storage.durable import sync

DROPPED = images_dropped("unreadable")
"""The note that counts image files that cannot be read, where that is allowed."""


@dataclass(frozen=True)
class PreparationRequest:
    """What a preparation was asked to make.

    Attributes:
        kind: kind of data set.
        size: height and width of the stored images.
        choices: how image files are read.
        identity: identity of the whole request; a finished data set of this identity is reused.
        rows: the same without the sizes of the files, so that after a new download of one file only
            its own row is made again.
        signatures_N: signature of the file of each row.
    """

    kind: str
    size: int
    choices: ReadingChoices
    identity: str
    rows: str
    signatures_N: NDArray[np.uint64]


def row_signatures(
    count: int, files: Sequence[Path], status: Sequence[os.stat_result]
) -> NDArray[np.uint64]:
    """The signature of each row's file; 0 for drawn rows, which the request alone identifies."""
    if not files:
        return np.zeros(count, dtype=np.uint64)
    pairs = zip(files, status, strict=True)
    return np.array([file_signature(*pair) for pair in pairs], dtype=np.uint64)


def make_dataset(
    out: Path,
    request: PreparationRequest,
    data: Source,
    frame: pd.DataFrame,
    allow_missing: int | None,
    say: Callable[[str], None],
    progress: ProgressCallback,
) -> None:
    """Fills `out`, which holds no manifest yet, and writes the manifest when all is in place.

    Raises:
        BadInput: more images are missing or unreadable than is allowed; the decoded ones are kept
            for the next run.
    """
    with partial_store(out, request.rows, request.size, request.signatures_N) as partial:
        done = int(partial.done_N.sum())
        if done:
            say(f"{out}: {done} of {len(frame)} images are already there from an earlier run")
        maker = _maker(request, data)
        unreadable = fill_store(partial, maker, progress)
        _check_unreadable(unreadable, len(frame), data.notes.get(MISSING, 0), allow_missing)
        rows = [row for row in range(len(frame)) if row not in unreadable]
        images = _whole_store(partial, rows, request.size)
        read = reading_notes(partial.code_N[rows])
    notes = dict(data.notes) | read
    if unreadable:
        readable = pd.Series(~np.isin(np.arange(len(frame)), [*unreadable]), index=frame.index)
        notes |= dropped_notes("unreadable", frame["patient_id"], readable)
    kept = frame.iloc[rows].assign(row=range(len(rows)))
    _publish(out, partial.folder, images, kept, request, data, notes)


def _maker(request: PreparationRequest, data: Source) -> Maker:
    """What draws the rows, or decodes their files."""
    if data.draw is not None:
        return drawer(data.draw)
    return decoder(data.files, request.size, request.choices)


def _check_unreadable(
    unreadable: dict[int, str], total: int, missing: int, allow_missing: int | None
) -> None:
    """Raises BadInput if more images are missing or unreadable than is allowed."""
    count = len(unreadable)
    if count and count + missing > (allow_missing or 0):
        raise BadInput(
            f"{count} of {total} images cannot be read: {first_ten(unreadable.values())}; correct "
            f"or download them again, or pass --allow-missing {count + missing} to leave them out"
        )
    if count == total:
        raise BadInput(f"none of the {total} images can be read: {first_ten(unreadable.values())}")


def _whole_store(partial: PartialStore, rows: Sequence[int], size: int) -> Path:
    """The file of the rows that could be made: the partial store itself, or a copy without gaps.

    The copy leaves the partial store and its journal intact: an interruption costs only the copy.
    """
    images = partial.folder / IMAGES
    if len(rows) == len(partial.done_N):
        partial.sync()
        return images
    copy = partial.folder / f"closed-{IMAGES}"
    copy_rows(images, rows, size, copy)
    return copy


def _publish(
    out: Path,
    folder: Path,
    images: Path,
    frame: pd.DataFrame,
    request: PreparationRequest,
    data: Source,
    notes: dict[str, int],
) -> None:
    """Moves the finished parts into place and syncs them to disk, then writes the manifest."""
    cohort = folder / COHORT
    write_cohort(frame, cohort)
    manifest = Manifest(
        kind=request.kind,
        size=request.size,
        interpolation=data.interpolation,
        resize=request.choices.resize,
        reading=READING,
        counts=_counts(frame),
        notes=notes,
        origin=dict(data.origin),
        digests=Digests(images=store_digest(images), cohort=cohort_digest(frame)),
        request=request.identity,
        checksums=make_checksums(images, cohort, folder / HASHES),
    )
    os.replace(images, out / IMAGES)
    os.replace(cohort, out / COHORT)
    os.replace(folder / HASHES, out / HASHES)
    for part in (out / COHORT, out / HASHES, out):
        sync(part)
    write_manifest(manifest, out)
    shutil.rmtree(folder)


def make_checksums(images: Path, cohort: Path, hashes: Path) -> Checksums:
    """Hashes every image of a store into the file `hashes`; returns what a manifest says of it."""
    in_file = write_hashes(hash_images(open_images(images)), hashes)
    return Checksums(cohort=checksum_of(cohort.read_bytes()), hashes=in_file)


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    counts = {"images": len(frame), "patients": frame["patient_id"].nunique()}
    for split in SPLITS:
        counts[f"{split} images"] = int((frame["split"] == split).sum())
    return counts | {"images without a split": int(frame["split"].isna().sum())}
