"""Prepares a data set once: reader -> cohort and image store, put in place when all is done."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from fairfm_core.config import fingerprint
from fairfm_core.data.cohort import cohort_digest, normalised, write_cohort
from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.data.images import decode_store, draw_store, store_digest
from fairfm_core.data.manifest import (
    COHORT,
    IMAGES,
    MANIFEST,
    Digests,
    Manifest,
    read_manifest,
    write_manifest,
)
from fairfm_core.data.readers import read_source
from fairfm_core.data.source import DEFAULT_SIZE, ReadOptions, Source
from fairfm_core.data.splits import check_fractions, random_split
from fairfm_core.errors import BadInput
from fairfm_core.yaml_input import validated

logger = logging.getLogger(__name__)
LOCK, PARTIAL = ".prepare.lock", ".partial-"
Progress = Callable[[int, int], None]


def prepare(
    kind: str,
    source: str | Path,
    out: str | Path,
    size: int | None = None,
    *,
    say: Callable[[str], None] = logger.info,
    progress: Progress = lambda done, total: None,
    **options: Any,
) -> PreparedData:
    """Reads a data set, decodes its images and opens the result.

    A finished store of the same request in `out` is reused. Until the manifest is written, which
    happens last, `out` is not a data set, so an interruption leaves nothing that looks finished.

    Args:
        kind: a name in `readers.READERS`.
        source: a folder or file; for a phantom also a world's name.
        out: the folder to make.
        size: height and width of the stored images; 224 unless a phantom world says otherwise.
        say: told in one line what was done instead of preparing anew.
        progress: told how many images of how many are done.
        options: further fields of `source.ReadOptions`.

    Raises:
        BadInput: anything wrong with the source or the options, images that are missing or
            cannot be read, or an `out` that holds something else.
    """
    out = Path(out)
    asked = validated(ReadOptions, {**options, "size": size}, f"options of {kind}")
    check_fractions(asked.fractions)
    found = read_source(kind, str(source), asked)
    frame = _with_split(found, asked)
    pixels = found.size or asked.size or DEFAULT_SIZE
    request = _request(kind, found, frame, pixels)
    with _alone_in(out):
        if (out / MANIFEST).exists():
            _check_same_request(out, request)
            say(f"{out} already holds this data set: reused")
        else:
            _make(out, kind, found, frame, pixels, request, progress)
    return open_dataset(out)


def _with_split(found: Source, asked: ReadOptions) -> pd.DataFrame:
    frame = found.frame
    if "split" not in frame.columns:
        frame = frame.assign(split=random_split(frame, asked.split_seed, asked.fractions))
    return normalised(frame)


def _request(kind: str, found: Source, frame: pd.DataFrame, size: int) -> str:
    """Identity of what is asked, from the table and the names and sizes of the image files."""
    files = [[file.name, file.stat().st_size] for file in found.files]
    asked = {"kind": kind, "size": size, "origin": dict(found.origin), "files": files}
    return fingerprint(asked | {"cohort": cohort_digest(frame)})


def _check_same_request(out: Path, request: str) -> None:
    """Raises BadInput where the finished store in `out` answers another request."""
    manifest = read_manifest(out)
    if manifest.request != request:
        raise BadInput(
            f"{out} already holds another data set (kind {manifest.kind}, size {manifest.size}, "
            f"{manifest.counts['images']} images): choose another --out or remove that folder"
        )


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Holds `out` against a second preparation; what an interrupted one left is removed."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file: --out names a folder")
    out.mkdir(parents=True, exist_ok=True)
    ours = {MANIFEST, COHORT, IMAGES, LOCK, f".{MANIFEST}.partial"}
    names = sorted(name for name in os.listdir(out) if not name.startswith(PARTIAL))
    other = [name for name in names if name not in ours]
    if other:
        raise BadInput(f"{out} holds other files ({other[0]}, ...): choose an empty folder")
    with open(out / LOCK, "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"another fairfm data prepare is writing {out}: wait for it") from None
        for left_over in out.glob(f"{PARTIAL}*"):
            shutil.rmtree(left_over)
        yield


def _make(
    out: Path,
    kind: str,
    found: Source,
    frame: pd.DataFrame,
    size: int,
    request: str,
    progress: Progress,
) -> None:
    """Makes every part in a partial folder, then moves them in place, the manifest last."""
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=out) as partial:
        images, cohort = Path(partial) / IMAGES, Path(partial) / COHORT
        if found.draw is not None:
            draw_store(found.draw, len(frame), size, images, progress)
        else:
            decode_store(found.files, size, images, progress)
        write_cohort(frame, cohort)
        manifest = Manifest(
            kind=kind,
            size=size,
            interpolation="bicubic" if found.draw is None else "drawn",
            counts=_counts(frame),
            notes=dict(found.notes),
            origin=dict(found.origin),
            digests=Digests(images=store_digest(images), cohort=cohort_digest(frame)),
            request=request,
        )
        os.replace(images, out / IMAGES)
        os.replace(cohort, out / COHORT)
        write_manifest(manifest, out)


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    counts = {"images": len(frame), "patients": frame["patient_id"].nunique()}
    for split in SPLITS:
        counts[f"{split} images"] = int((frame["split"] == split).sum())
    return counts | {"images without a split": int(frame["split"].isna().sum())}
