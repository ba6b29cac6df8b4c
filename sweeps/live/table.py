"""The board as a table for a terminal: lines of text that fit its width and height."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sweeps.live.board import Board, RunningJob
from sweeps.live.wording import auc_text, best_text, counts_text, front_text, left_text, loss_text
from sweeps.status.worker_time import duration

if TYPE_CHECKING:
    from rich.console import Console

Cell = Callable[[RunningJob], str]

COLUMNS: tuple[tuple[str, Any, int, int, Cell], ...] = (
    ("running", "left", 9, 0, lambda job: job.work),
    ("trials", "left", 0, 0, lambda job: job.trials),
    ("epoch", "right", 6, 40, lambda job: f"{job.epoch}/{job.epochs}" if job.epochs else ""),
    ("loss", "right", 6, 60, lambda job: loss_text(job.loss)),
    ("val AUC", "right", 7, 50, lambda job: auc_text(job.auc)),
    ("device", "left", 6, 72, lambda job: job.device),
    ("time", "right", 4, 80, lambda job: duration(job.seconds)),
    ("left", "right", 5, 40, lambda job: "" if job.left is None else f"~{duration(job.left)}"),
)
"""Heading, alignment, least width, the narrowest terminal that shows the column, and its cells."""
LEAST_ROWS = 2
"""Running jobs that are shown on a terminal of any height."""


def table_lines(board: Board, width: int, height: int, colour: bool) -> list[str]:
    """The board in at most `height` lines of at most `width` columns, with codes of colours."""
    above = [line for text in _head(board) for line in _lines(*text, width, colour)]
    below = [line for text in _foot(board) for line in _lines(*text, width, colour)]
    room = max(LEAST_ROWS, height - len(above) - len(below) - 1)
    lines = [*above, *_jobs(board, room, width, colour), *below]
    return lines[: max(1, height)]


def _head(board: Board) -> list[tuple[str, str]]:
    counts = f"{board.study}: {counts_text(board)}, {board.waiting} waiting"
    return [(counts, "bold"), (f"{duration(board.seconds)} so far, {left_text(board)}", "")]


def _foot(board: Board) -> list[tuple[str, str]]:
    """What is done, what waits for others, what has failed, and what is best."""
    stages = ", ".join(f"{kind} {done}/{total}" for kind, done, total in board.stages)
    lines = [(f"stages done: {stages}", "dim")]
    if board.elsewhere:
        count = len(board.elsewhere) + board.more_elsewhere
        lines.append((f"{count} running elsewhere: {board.elsewhere[0]}", "yellow"))
    if board.waits:
        lines.append((f"waits: {board.waits}", "yellow"))
    lines += [(f"failed: {each.trials}: {each.reason}", "red") for each in board.failures[-2:]]
    lines += [(text, "green") for text in (best_text(board), front_text(board)) if text]
    return lines


def _jobs(board: Board, room: int, width: int, colour: bool) -> list[str]:
    """The running jobs under a heading, and how many there are beside those that it shows."""
    from rich.table import Table
    from rich.text import Text

    if not board.jobs:
        ended = board.done + board.failed == board.trials
        return [] if ended else _lines("workers are starting", "dim", width, colour)
    total = len(board.jobs) + board.more_jobs
    shown = board.jobs if total <= room else board.jobs[: max(1, room - 1)]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    columns = [column for column in COLUMNS if width >= column[3]]
    for heading, side, least, _, _ in columns:
        wide = heading == "trials"
        table.add_column(heading, justify=side, no_wrap=not wide, min_width=least or None)
    for job in shown:
        table.add_row(*(Text(c[4](job), no_wrap=True, overflow="ellipsis") for c in columns))
    lines = _rendered(table, width, colour)
    hidden = total - len(shown)
    return lines + _lines(f"and {hidden:,} more", "dim", width, colour) * (hidden > 0)


def _lines(text: str, style: str, width: int, colour: bool) -> list[str]:
    """A text in one line or two."""
    from rich.text import Text

    first, *rest = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    kept = [first, " ".join(rest)] if rest else [first]
    return _rendered(Text("\n".join(kept), style=style), width, colour, whole=True)


def _rendered(shown: Any, width: int, colour: bool, whole: bool = False) -> list[str]:
    """The lines of a table, or of a text of which `whole` lines are cut instead of broken."""
    console = _console(width, colour)
    console.print(shown, no_wrap=whole or None, overflow="ellipsis" if whole else None)
    written = console.file
    assert isinstance(written, io.StringIO)
    return [line.rstrip() for line in written.getvalue().splitlines()]


def _console(width: int, colour: bool) -> Console:
    from rich.console import Console

    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        _environ={},
    )


def visible(lines: Sequence[str]) -> list[str]:
    """The lines without codes of colours."""
    from rich.text import Text

    return [Text.from_ansi(line).plain for line in lines]


def widths(lines: Sequence[str]) -> list[int]:
    """The columns that each line takes on a terminal."""
    from rich.cells import cell_len

    return [cell_len(line) for line in visible(lines)]
