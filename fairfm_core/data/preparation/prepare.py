"""Prepares a data set once: reader -> cohort and image store; an interrupted run is resumed."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.yaml_input import validated
from fairfm_core.data.cohort import checked_cohort, cohort_digest
from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.data.image_store.grey_levels import ReadingChoices
from fairfm_core.data.manifest import (
    COHORT,
    HASHES,
    IMAGES,
    MANIFEST,
    READING,
    read_manifest,
)
from fairfm_core.data.preparation.filling import ProgressCallback
from fairfm_core.data.preparation.kinds import read_kind
from fairfm_core.data.preparation.making import (
    DROPPED,
    PreparationRequest,
    make_dataset,
    row_signatures,
)
from fairfm_core.data.preparation.partial import PARTIAL, remove_partial
from fairfm_core.data.readers.source import DEFAULT_SIZE, MISSING, ReadOptions, Source, drawn_split
from fairfm_core.data.splits import check_fractions
from fairfm_core.errors import BadInput, first_ten

logger = logging.getLogger(__name__)
LOCK = ".prepare.lock"
JPEGS = (".jpg", ".jpeg")
"""Endings of files that have 8 bits."""


def prepare(
    kind: str,
    source: str | Path,
    out: str | Path,
    size: int | None = None,
    *,
    say: Callable[[str], None] = logger.info,
    progress: ProgressCallback = lambda done, total: None,
    follow_symlinks: bool = False,
    **options: Any,
) -> PreparedData:
    """Reads a data set, decodes its images and opens the result.

    A finished data set of the same request in `out` is reused, and so are the images that an
    interrupted run of the request decoded. The manifest is written last and `out` is not a data set
    without it, so an interruption leaves nothing that looks finished.

    Args:
        kind: a name in `kinds.KINDS`.
        source: a folder or file; for a phantom also the name of a world.
        out: the folder to make.
        size: height and width of the stored images; by default 224, or a phantom world's own.
        say: called with a line of text when a finished or unfinished data set is reused.
        progress: called with the number of finished images and of all images.
        follow_symlinks: whether image files may be links to places outside their common folder.
        options: further fields of `source.ReadOptions`.

    Raises:
        BadInput: an invalid source or invalid options, images that are missing, unreadable or
            elsewhere, or an `out` that holds something else.
    """
    out = Path(out)
    asked = validated(ReadOptions, {**options, "size": size}, f"options of {kind}")
    check_fractions(asked.fractions)
    data = read_kind(kind, str(source), asked)
    if not follow_symlinks:
        check_links(data.files)
    frame = _with_split(data, asked)
    request = _request(kind, data, frame, data.size or asked.size or DEFAULT_SIZE, asked.reading)
    with alone_in(out):
        if (out / MANIFEST).exists():
            _check_same_request(out, request, asked.allow_missing)
            remove_partial(out)
            warnings = _changed_since(out, data) + _read_before(out, data)
            say(f"{out} already holds this data set: reused{warnings}")
        else:
            make_dataset(out, request, data, frame, asked.allow_missing, say, progress)
    return open_dataset(out)


def check_links(files: Sequence[Path]) -> None:
    """Raises BadInput for image files that are links to places outside their common folder."""
    if not files:
        return
    root = os.path.realpath(os.path.commonpath([file.parent for file in files]))
    folders = {folder: os.path.realpath(folder) for folder in {file.parent for file in files}}
    leaving = [
        file
        for file in files
        if file.is_symlink() or not _inside(folders[file.parent], root)
        if not _inside(os.path.realpath(file), root)
    ]
    if leaving:
        raise BadInput(
            f"{len(leaving)} image file(s) are links to places outside {root}: "
            f"{first_ten(file.name for file in leaving)}; pass --follow-symlinks to read them"
        )


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(os.path.join(root, ""))


def _with_split(data: Source, asked: ReadOptions) -> pd.DataFrame:
    frame = data.frame
    if "split" not in frame.columns:
        frame = frame.assign(split=drawn_split(frame, asked))
    return checked_cohort(frame)


def _request(
    kind: str, data: Source, frame: pd.DataFrame, size: int, choices: ReadingChoices
) -> PreparationRequest:
    """The request, identified by the cohort and the names and sizes of the image files."""
    status = [file.stat() for file in data.files]
    names = [file.name for file in data.files]
    sizes = [[name, was.st_size] for name, was in zip(names, status, strict=True)]
    asked = {"kind": kind, "size": size, "origin": dict(data.origin)}
    asked |= {"cohort": cohort_digest(frame)} | choices.content()
    return PreparationRequest(
        kind=kind,
        size=size,
        choices=choices,
        identity=fingerprint(asked | {"files": sizes}),
        rows=fingerprint(asked | {"files": names, "reading": READING}),
        signatures_N=row_signatures(len(frame), data.files, status),
    )


def _check_same_request(out: Path, request: PreparationRequest, allow_missing: int | None) -> None:
    """Raises BadInput unless the finished data set in `out` is what this request would make."""
    manifest = read_manifest(out)
    if manifest.request != request.identity:
        raise BadInput(
            f"{out} already holds another data set (kind {manifest.kind}, size {manifest.size}, "
            f"{manifest.resizing}, {manifest.counts['images']} images): choose another --out or "
            "remove this folder"
        )
    dropped = manifest.notes.get(DROPPED, 0)
    left_out = dropped + manifest.notes.get(MISSING, 0)
    if dropped and left_out > (allow_missing or 0):
        raise BadInput(
            f"{out} holds this data set without {dropped} unreadable image(s): pass "
            f"--allow-missing {left_out}, or download them again and choose another --out"
        )


def _changed_since(out: Path, data: Source) -> str:
    """A warning if source files are newer than the data set that was made from them."""
    made = (out / MANIFEST).stat().st_mtime
    newer = [file.name for file in data.files if file.stat().st_mtime > made]
    if not newer:
        return ""
    return (
        f"; {len(newer)} source file(s) were written since ({first_ten(newer)}): if their images "
        f"changed, remove {out} and prepare it again"
    )


def _read_before(out: Path, data: Source) -> str:
    """A warning if an earlier version read files that would be read otherwise now."""
    deep = [file.name for file in data.files if file.suffix.lower() not in JPEGS]
    if read_manifest(out).reading >= READING or not deep:
        return ""
    return (
        f"; an earlier version made it: files of more than 8 bits, of several frames, or to be "
        f"turned upright ({first_ten(deep[:1])}?) are read otherwise now; if there are any, remove "
        f"{out} and prepare it again"
    )


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Locks `out` against a second preparation; it may hold what an interrupted one left."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file: --out must be a folder")
    out.mkdir(parents=True, exist_ok=True)
    ours = {MANIFEST, COHORT, IMAGES, HASHES, LOCK, f".{MANIFEST}.partial"}
    names = sorted(name for name in os.listdir(out) if not name.startswith(PARTIAL))
    other = [name for name in names if name not in ours]
    if other:
        raise BadInput(f"{out} holds other files ({other[0]}, ...): choose an empty folder")
    with open(out / LOCK, "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"another fairfm data prepare is writing {out}: wait for it") from None
        yield
