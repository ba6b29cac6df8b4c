"""The progress line: rates, time left, and how seldom it writes."""

from __future__ import annotations

import io
import time

import pytest

from fairfm_core.data.preparation.progress import ProgressLine, clock_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(stream: io.StringIO, seconds: float, total: int, done: int = 0) -> str:
    """What is written while 160 images per second are made, from `done` on."""
    clock = Clock()
    line = ProgressLine(stream, clock)
    line(done, total)
    for _ in range(int(seconds * 16)):
        clock.now += 1 / 16
        done = min(done + 10, total)
        line(done, total)
    return stream.getvalue()


def test_a_terminals_line_is_rewritten() -> None:
    written = run(Terminal(), 10, 1600)
    states = [state.rstrip(" ") for state in written.split("\r")[1:]]
    assert len(states) == 40  # every fourth of a second, the first due after 0.2
    assert states[19] == "800 of 1,600 images, 160 per second, 0:05 left"
    assert states[-1].split() == ["1,600", "images,", "160", "per", "second"]
    assert written.count("\n") == 1
    widths = [len(state) for state in written.split("\r")[1:]]
    assert all(now >= len(before) for before, now in zip(states, widths[1:], strict=False))


def test_a_log_gets_a_line_every_ten_seconds() -> None:
    written = run(io.StringIO(), 25, 4000)
    assert written.splitlines() == [
        "1,600 of 4,000 images, 160 per second, 0:15 left",
        "3,200 of 4,000 images, 160 per second, 0:05 left",
        "4,000 images, 160 per second",
    ]


def test_a_log_is_not_told_of_short_work() -> None:
    assert run(io.StringIO(), 5, 800) == ""


def test_images_of_an_earlier_run_are_no_speed() -> None:
    written = run(io.StringIO(), 15, 127_118, done=120_000)
    assert written.splitlines()[0] == "121,600 of 127,118 images, 160 per second, 0:34 left"


def test_a_finished_store_has_no_rate() -> None:
    stream = Terminal()
    ProgressLine(stream, Clock())(40, 40)
    assert stream.getvalue() == "\r40 of 40 images\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (3600, "1:00:00"), (86399.9, "24:00:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_it_costs_under_a_hundredth_of_a_decode() -> None:
    line = ProgressLine(io.StringIO())
    began = time.process_time()
    for done in range(100_000):
        line(done, 1_000_000)
    # A decode takes over 300 microseconds, and the line is called once for four.
    assert (time.process_time() - began) / 100_000 < 4 * 3e-6
