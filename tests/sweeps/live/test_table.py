"""The table of what runs: its content, and that it fits any terminal."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from sweeps.live.board import Board, RunningJob
from sweeps.live.table import table_lines, visible

from .boards import PROBES, TUNE, board

AT_80 = """\
first: trials 3/18 done, 6 running, 2 failed, 7 waiting
2 min 10 s so far, about 1 min 42 s left (43 s expected before: fine-tuning of
vit takes 2.9 times as long)
running       trials                epoch   loss val AUC device            left
pre-train mae natural.masked.*.s0…  12/20 0.4312         1 cpu
fine-tune     tune.standard.s0        3/8 0.5214    68.2 1 gpu H100       ~20 s
32 probes     32 trials              0/90                1 cpu      ~1 min 01 s
evaluate      probe.s1                                   1 cpu             ~1 s
stages done: pretrain 1/4, adapt 3/18, evaluate 3/18
failed: bad.s0: loss is nan at step 4 (epoch 1)
best so far on validation: medical.tune: AUC 70.4, race gap 5.5
front so far: 2 of 3 configurations, also natural.tune
"""


def test_a_terminal_of_80_columns() -> None:
    assert "\n".join(table_lines(board(), 79, 23, colour=False)) + "\n" == AT_80


@pytest.mark.parametrize("width", [20, 39, 47, 60, 79, 100, 200])
@pytest.mark.parametrize("height", [5, 12, 40])
def test_it_fits(width: int, height: int) -> None:
    many = tuple(PROBES for _ in range(30))
    lines = table_lines(board(jobs=many, more_jobs=970), width, height, colour=False)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width


def test_of_a_thousand_running_jobs_a_screenful_is_shown() -> None:
    lines = table_lines(board(jobs=(TUNE,) * 30, more_jobs=970), 79, 23, colour=False)
    shown = sum("tune.standard" in line for line in lines)
    assert len(lines) == 23
    assert f"and {1000 - shown} more" in lines


def test_wide_letters_and_long_names_stay_in_their_column() -> None:
    job = RunningJob("fine-tune", "模型" * 60, 1, 2, 0.1, 0.5, "1 cpu", 1.0, 1.0)
    lines = table_lines(board(jobs=(job,)), 79, 23, colour=False)
    assert max(map(cell_len, lines)) <= 79
    assert any("50.0" in line and "…" in line for line in lines)


def test_colours_are_codes_around_the_same_text() -> None:
    plain, coloured = (table_lines(board(), 79, 23, colour) for colour in (False, True))
    assert not any("\x1b" in line for line in plain)
    assert any("\x1b[31m" in line for line in coloured)
    assert [line.rstrip() for line in visible(coloured)] == plain


def test_before_the_start_and_after_the_end() -> None:
    waiting = Board("first", 8, 0, 0, 0)
    assert table_lines(waiting, 79, 23, colour=False)[:2] == [
        "first: trials 0/8 done, 0 running, 0 failed, 8 waiting",
        "0 s so far, time left not known before the first epoch",
    ]
    done = Board("first", 8, 8, 0, 0, seconds=75.0, left=0.0)
    assert table_lines(done, 79, 23, colour=False)[1] == "1 min 15 s so far, 0 s left"


def test_what_waits_is_a_line_of_the_table() -> None:
    waits = "pre-train mae mae.*: for 2 workers of 1 CPU; 1 of 2 CPU free, held by another run"
    lines = table_lines(board(waits=waits), 79, 23, colour=False)
    shown = next(place for place, line in enumerate(lines) if line.startswith("waits: "))
    assert " ".join(lines[shown : shown + 2]) == f"waits: {waits}"
