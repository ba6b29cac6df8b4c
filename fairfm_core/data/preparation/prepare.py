"""Prepares a data set once: reader -> cohort and image store; interrupted, it is taken up again."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.yaml_input import validated
from fairfm_core.data.cohort import cohort_digest, normalised
from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.data.manifest import COHORT, IMAGES, MANIFEST, read_manifest
from fairfm_core.data.preparation.filling import Progress
from fairfm_core.data.preparation.kinds import read_source
from fairfm_core.data.preparation.making import DROPPED, Request, make_dataset, row_signatures
from fairfm_core.data.preparation.partial import PARTIAL, remove_partial
from fairfm_core.data.readers.source import DEFAULT_SIZE, MISSING, ReadOptions, Source
from fairfm_core.data.splits import check_fractions, random_split
from fairfm_core.errors import BadInput, first_ten

logger = logging.getLogger(__name__)
LOCK = ".prepare.lock"


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

    A finished store of the same request in `out` is reused, and the images that an interrupted run
    of it decoded are kept. Until the manifest is written, which happens last, `out` is not a data
    set, so an interruption leaves nothing that looks finished.

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
    request = _request(kind, found, frame, found.size or asked.size or DEFAULT_SIZE)
    with _alone_in(out):
        if (out / MANIFEST).exists():
            _check_same_request(out, request, asked.allow_missing)
            remove_partial(out)
            say(f"{out} already holds this data set: reused{_changed_since(out, found)}")
        else:
            make_dataset(out, request, found, frame, asked.allow_missing, say, progress)
    return open_dataset(out)


def _with_split(found: Source, asked: ReadOptions) -> pd.DataFrame:
    frame = found.frame
    if "split" not in frame.columns:
        frame = frame.assign(split=random_split(frame, asked.split_seed, asked.fractions))
    return normalised(frame)


def _request(kind: str, found: Source, frame: pd.DataFrame, size: int) -> Request:
    """What is asked, from the table and the names and sizes of the image files."""
    status = [file.stat() for file in found.files]
    names = [file.name for file in found.files]
    sizes = [[name, was.st_size] for name, was in zip(names, status, strict=True)]
    asked = {"kind": kind, "size": size, "origin": dict(found.origin)}
    asked |= {"cohort": cohort_digest(frame)}
    return Request(
        kind=kind,
        size=size,
        identity=fingerprint(asked | {"files": sizes}),
        rows=fingerprint(asked | {"files": names}),
        signatures_N=row_signatures(len(frame), found.files, status),
    )


def _check_same_request(out: Path, request: Request, allow_missing: int | None) -> None:
    """Raises BadInput where the finished store in `out` answers another request."""
    manifest = read_manifest(out)
    if manifest.request != request.identity:
        raise BadInput(
            f"{out} already holds another data set (kind {manifest.kind}, size {manifest.size}, "
            f"{manifest.counts['images']} images): choose another --out or remove that folder"
        )
    dropped = manifest.notes.get(DROPPED, 0)
    left_out = dropped + manifest.notes.get(MISSING, 0)
    if dropped and left_out > (allow_missing or 0):
        raise BadInput(
            f"{out} holds this data set without {dropped} unreadable image(s): pass "
            f"--allow-missing {left_out}, or fetch them again and choose another --out"
        )


def _changed_since(out: Path, found: Source) -> str:
    """A warning where source files are newer than the store that was made from them."""
    made = (out / MANIFEST).stat().st_mtime
    newer = [file.name for file in found.files if file.stat().st_mtime > made]
    if not newer:
        return ""
    return (
        f"; {len(newer)} source file(s) were written since ({first_ten(newer)}): if their images "
        f"changed, remove {out} and prepare it anew"
    )


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Holds `out` against a second preparation; what an interrupted one left may lie there."""
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
        yield
