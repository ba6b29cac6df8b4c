"""Text that is rewritten in place, and what others print meanwhile."""

from __future__ import annotations

import io
import os
import re
import sys

import pytest

from sweeps.live import terminal
from sweeps.live.display import view_on
from sweeps.live.news import News
from sweeps.live.plain import PlainLines
from sweeps.live.terminal import LiveTable, RewrittenText, can_rewrite, wants_colour

from .boards import board


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Screen:
    """What a terminal shows that only moves up and erases what is below."""

    def __init__(self, written: str, width: int = 80) -> None:
        self.rows: list[str] = []
        for move, text in re.findall(r"(\x1b\[\d*[AJ]|\x1b\[\?2026[hl]|\r)|([^\x1b\r]+)", written):
            if move.endswith("A"):
                self.rows = self.rows[: len(self.rows) - int(move[2:-1])]
            else:
                lines = text.split("\n")[:-1] if text else []
                for line in lines:
                    self.rows += [
                        line[at : at + width] for at in range(0, max(1, len(line)), width)
                    ]


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "terminal_size", lambda: os.terminal_size((80, 24)))


def test_lines_take_the_place_of_the_last_ones() -> None:
    out = Terminal()
    text = RewrittenText(out)
    text.draw(["one", "two", "three"])
    text.draw(["four"], ["FAILED"])
    text.print_above(["a warning"])
    text.draw(["five", "six"])
    assert Screen(out.getvalue()).rows == ["FAILED", "a warning", "five", "six"]
    assert "\x1b[?25l" not in out.getvalue()  # the cursor is never hidden


def test_a_terminal_that_became_narrow_is_cleared_of_broken_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = Terminal()
    text = RewrittenText(out)
    text.draw(["x" * 70, "y"])
    monkeypatch.setattr(terminal, "terminal_size", lambda: os.terminal_size((20, 24)))
    text.draw(["z"])
    assert Screen(out.getvalue(), width=20).rows == ["z"]


def test_what_anybody_prints_appears_above_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", errors := Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    view = LiveTable(out)
    view.show(board(), News(), str)
    print("warning: MLflow does not accept values", file=sys.stderr)
    print("half a ", end="")
    print("line")
    view.show(board(), News(lines=["again   adapt"]), str)
    print("never ended", end="")
    view.close(board(jobs=()), News(), str)
    view.release()
    print("after", file=sys.stdout)
    rows = Screen(out.getvalue()).rows
    assert rows[:3] == ["warning: MLflow does not accept values", "half a line", "again   adapt"]
    assert (rows[3], rows[-1]) == ("never ended", "after")
    assert sum(row.startswith("first: trials") for row in rows) == 1
    assert sys.stdout is out
    assert sys.stderr is errors


def test_a_pipe_and_a_terminal_without_moves_get_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_rewrite(io.StringIO(), {"TERM": "xterm"})
    assert not can_rewrite(Terminal(), {"TERM": "dumb"})
    assert not can_rewrite(Terminal(), {})
    assert can_rewrite(Terminal(), {"TERM": "xterm"})
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(view_on(Terminal()), PlainLines)


def test_colours_are_left_out_on_request() -> None:
    assert wants_colour({})
    assert wants_colour({"NO_COLOR": ""})
    assert not wants_colour({"NO_COLOR": "1"})


def test_letters_that_a_terminal_lacks_are_replaced() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    RewrittenText(out).draw(["natural…"])
    assert b"natural?" in out.buffer.getvalue()  # type: ignore[attr-defined]
