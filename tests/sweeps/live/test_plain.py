"""Progress in a file or a pipe: a line for each event, at least one a minute, each with news."""

from __future__ import annotations

import io

import pytest

from sweeps.live.news import News
from sweeps.live.plain import GATHERED_SECONDS, QUIET_SECONDS, PlainLines

from .boards import board


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(clock: Clock) -> tuple[PlainLines, io.StringIO]:
    out = io.StringIO()
    return PlainLines(out, clock), out


def values(trial: str) -> str:
    return "AUC 70.4"


def taken(out: io.StringIO) -> list[str]:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text.splitlines()


def test_each_minute_says_what_runs(lines: tuple[PlainLines, io.StringIO], clock: Clock) -> None:
    plain, out = lines
    plain.show(board(why=""), News(), values)
    assert taken(out) == [
        "pre-train mae natural.masked.*.s0 (4 trials) epoch 12/20 loss 0.4312; fine-tune "
        "tune.standard.s0 epoch 3/8 loss 0.5214 AUC 68.2; and 2 more; best so far on validation: "
        "medical.tune: AUC 70.4, race gap 5.5   "
        "[trials 3/18 done, 6 running, 2 failed; about 1 min 42 s left]"
    ]
    clock.now = QUIET_SECONDS - 1
    plain.show(board(), News(), values)
    assert not taken(out)
    clock.now = QUIET_SECONDS
    plain.show(board(), News(), values)
    assert "takes 2.9 times as long" in taken(out)[0]


def test_a_reason_is_said_once(lines: tuple[PlainLines, io.StringIO], clock: Clock) -> None:
    plain, out = lines
    for minute in range(3):
        clock.now = minute * QUIET_SECONDS
        plain.show(board(why="other" if minute == 2 else "slow disk"), News(), values)
    assert [line.count("(slow disk)") for line in taken(out)] == [1, 0, 0]


def test_events_are_written_as_they_come(
    lines: tuple[PlainLines, io.StringIO], clock: Clock
) -> None:
    plain, out = lines
    state = "[trials 3/18 done, 6 running, 2 failed; about 1 min 42 s left]"
    plain.show(board(why=""), News(["tune.s0"]), values)
    assert taken(out) == [f"done    tune.s0 (AUC 70.4 on validation)   {state}"]
    failed = News(lines=["again   adapt"])
    failed.failed["loss is nan"] += [f"tune.s{n}" for n in range(64)]
    plain.show(board(why=""), failed, values)
    assert taken(out) == [
        "again   adapt",
        "FAILED  tune.s0, tune.s1, tune.s2 and 61 more: loss is nan",
    ]
    plain.show(board(why=""), News([f"probe.s{n}" for n in range(9)]), values)
    assert taken(out) == [f"done    probe.s0, probe.s1, probe.s2 and 6 more   {state}"]


def test_the_trials_of_a_large_study_share_lines(
    lines: tuple[PlainLines, io.StringIO], clock: Clock
) -> None:
    plain, out = lines
    for second in range(100):
        clock.now = float(second)
        plain.show(board(trials=1000), News([f"probe.s{second}"]), values)
    assert 100 / GATHERED_SECONDS - 1 <= len(taken(out)) <= 100 / GATHERED_SECONDS + 1


def test_the_end_is_said_once(lines: tuple[PlainLines, io.StringIO], clock: Clock) -> None:
    plain, out = lines
    plain.show(board(trials=1000), News(), values)
    taken(out)
    last = board(trials=1000, done=1000, running=0, failed=0, left=0.0, jobs=())
    plain.show(last, News(["probe.s9"]), values)
    plain.close(last, News(), values)
    plain.close(last, News(), values)
    (line,) = taken(out)
    assert line.startswith("done    probe.s9")
    assert line.endswith("[trials 1000/1000 done, 0 running, 0 failed; 0 s left]")
