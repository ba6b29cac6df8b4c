"""The end of a terminal's text, which is written again and again in place.

The cursor stays visible and rests below the text, so whatever ends the program, even SIGKILL,
leaves a terminal that needs no repair. While the text is shown, what anybody prints appears above.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TextIO

from sweeps.live.board import Board
from sweeps.live.news import News
from sweeps.live.table import table_lines, widths

UP = "\x1b[{}A"
ERASE_BELOW = "\x1b[J"
UNABLE = ("", "dumb", "unknown")
"""Values of TERM for which no line can be written again."""
SYNCHRONISED = ("\x1b[?2026h", "\x1b[?2026l")
"""Around a change: terminals that know it draw once; others ignore it."""


def can_rewrite(out: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the output is a terminal whose lines can be written again."""
    return out.isatty() and environment.get("TERM", "") not in UNABLE


def wants_colour(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether colours are welcome (https://no-color.org)."""
    return not environment.get("NO_COLOR")


class RewrittenText:
    """Some lines at the end of a terminal; lines can be printed above them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.RLock()
        self._lines: list[str] = []

    def draw(self, lines: Sequence[str], above: Sequence[str] = ()) -> None:
        """Replace the text by `lines`, under the lines `above`, which stay."""
        with self._lock:
            shown = "".join(f"{line}\n" for line in (*above, *lines))
            self._write(self._erased() + shown)
            self._lines = list(lines)

    def print_above(self, lines: Sequence[str]) -> None:
        """Print lines that stay, above the text."""
        with self._lock:
            self.draw(self._lines, lines)

    def _erased(self) -> str:
        """What moves the cursor to the first of the lines and erases from there.

        A terminal that has become narrower has broken the lines into more rows.
        """
        width = max(1, terminal_size().columns)
        rows = sum(max(1, -(-cells // width)) for cells in widths(self._lines))
        return (UP.format(rows) if rows else "") + "\r" + ERASE_BELOW

    def _write(self, text: str) -> None:
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        known = text.encode(encoding, "replace").decode(encoding)
        self._out.write(SYNCHRONISED[0] + known + SYNCHRONISED[1])
        self._out.flush()


def terminal_size() -> os.terminal_size:
    """Columns and rows of the terminal, as they are now."""
    return shutil.get_terminal_size((80, 24))


class LiveTable:
    """Draws boards in place on a terminal, with what has gone wrong printed above."""

    def __init__(self, out: TextIO) -> None:
        self._text = RewrittenText(out)
        self._colour = wants_colour()
        self._closing = ExitStack()
        self._closing.enter_context(printed_above(out, self._text))

    def show(self, board: Board, news: News, values: Callable[[str], str]) -> None:
        """Draw the board; finished trials are counted in it and need no line."""
        size = terminal_size()
        lines = table_lines(board, max(20, size.columns - 1), size.lines - 1, self._colour)
        self._text.draw(lines, news.warnings())

    def close(self, board: Board, news: News, values: Callable[[str], str]) -> None:
        """Draw the board for the last time and leave it there."""
        self.show(board, news, values)

    def release(self) -> None:
        """Let others print to the terminal again without a detour."""
        self._closing.close()


class PrintedAbove(io.TextIOBase):
    """A stream whose lines appear above a rewritten text, on the same terminal."""

    def __init__(self, text: RewrittenText, stream: TextIO) -> None:
        self._text, self._stream = text, stream
        self._begun = ""

    def write(self, text: str, /) -> int:
        """Print the whole lines; the rest waits for its end."""
        *lines, self._begun = (self._begun + text).split("\n")
        if lines:
            self._text.print_above(lines)
        return len(text)

    def flush(self) -> None:
        """Nothing waits but the beginning of a line."""

    def isatty(self) -> bool:
        """As the stream that it stands for."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """As the stream that it stands for."""
        return self._stream.fileno()

    def finish(self) -> None:
        """Print a line that was begun."""
        if self._begun:
            self.write("\n")


@contextmanager
def printed_above(out: TextIO, text: RewrittenText) -> Iterator[None]:
    """Inside the block, what the process prints to the terminal appears above the text."""
    before = sys.stdout, sys.stderr
    proxies = [PrintedAbove(text, stream) for stream in before]
    if sys.stdout is out:
        sys.stdout = proxies[0]
    if sys.stderr.isatty():
        sys.stderr = proxies[1]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for proxy in proxies:
            proxy.finish()
