"""Fills the rows of an image store on every core: decodes files, or draws images."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairfm_core.data.image_store.decoding import UNREADABLE, read_square
from fairfm_core.data.image_store.grey_levels import AS_WRITTEN, ReadImage, ReadingChoices
from fairfm_core.data.preparation.partial import PartialStore

RowNumbers = NDArray[np.int64]
ProgressCallback = Callable[[int, int], None]
"""Takes the number of finished rows and the number of all rows."""
POLL = 0.1
"""Seconds between two progress reports; the threads do not wait for them."""


@dataclass(frozen=True)
class Maker:
    """Makes the pixels of rows, or gives the reason why a row cannot be made.

    Attributes:
        make: row numbers -> for each the image [S, S], or the reason why there is none.
        group: number of rows that are made together.
    """

    make: Callable[[RowNumbers], Iterable[ReadImage | str]]
    group: int


def decoder(files: Sequence[Path], size: int, choices: ReadingChoices = AS_WRITTEN) -> Maker:
    """A maker that decodes the file of each row."""

    def decode(rows: RowNumbers) -> Iterator[ReadImage | str]:
        for row in rows:
            try:
                yield read_square(files[row], size, choices)
            except UNREADABLE as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                yield f"{files[row].name} ({reason.replace(str(files[row]), 'the file')})"

    return Maker(decode, 4)


def drawer(draw: Callable[[RowNumbers], NDArray[np.uint8]]) -> Maker:
    """A maker that draws each row."""
    return Maker(lambda rows: map(ReadImage, draw(rows)), 64)


def fill_store(
    partial: PartialStore,
    maker: Maker,
    progress: ProgressCallback = lambda done, total: None,
    workers: int | None = None,
) -> dict[int, str]:
    """Makes every row that is not done yet; returns the rows that cannot be made, with reasons.

    Threads take one group of rows after another: decoding, resizing and drawing run outside the
    interpreter lock.

    Args:
        partial: stores rows as they are made.
        maker: makes them.
        progress: called with finished and all rows, first with those of an earlier run.
        workers: number of threads; by default one per core.
    """
    total = len(partial.done_N)
    todo = np.flatnonzero(~partial.done_N)
    groups = deque(todo[start : start + maker.group] for start in range(0, len(todo), maker.group))
    finished = [total - len(todo)]
    failed: dict[int, str] = {}

    def work() -> None:
        while groups:
            try:
                rows = groups.popleft()
            except IndexError:  # another thread took the last group
                return
            failed.update(_fill_rows(partial, maker, rows))
            finished.append(len(rows))

    progress(finished[0], total)
    if not groups:
        return failed
    pool = ThreadPoolExecutor(workers or _cores())
    try:
        running = {pool.submit(work) for _ in range(workers or _cores())}
        while running:
            done, running = wait(running, POLL, FIRST_EXCEPTION)
            for thread in done:
                thread.result()
            progress(sum(finished), total)
    finally:
        groups.clear()
        pool.shutdown()
    return dict(sorted(failed.items()))


def _fill_rows(partial: PartialStore, maker: Maker, rows: RowNumbers) -> dict[int, str]:
    """Makes a group of rows; returns those that cannot be made, with reasons."""
    reasons = {}
    for row, made in zip(rows.tolist(), maker.make(rows), strict=True):
        if isinstance(made, str):
            reasons[row] = made
        else:
            partial.keep(row, made.pixels, made.code)
    return reasons


def _cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
