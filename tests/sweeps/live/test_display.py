"""The thread that shows a run: whatever happens to it, the run goes on."""

from __future__ import annotations

import io
from typing import Any, cast

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import Damaged
from sweeps.live import display as display_module
from sweeps.live.board import Board
from sweeps.live.display import Display
from sweeps.live.news import News
from sweeps.live.progress import Progress


class Evaluate:
    fingerprint = "0" * 20


class Trial:
    name = label = "tune"
    evaluate = Evaluate()


class FakeProgress:
    """A run of one trial, which an earlier run has finished."""

    objectives = ("auc",)

    def __init__(self) -> None:
        self.unread: list[Trial] = [Trial()]
        self.judged: dict[str, Any] = {}
        self.remembered = False
        self.boards = 0

    def board(self) -> Board:
        self.boards += 1
        return Board("first", 1, 1, 0, 0, left=0.0)

    def take_news(self) -> News:
        return News()

    def values_text(self, trial: str) -> str:
        return ""

    def take_unread(self) -> Trial | None:
        return self.unread.pop() if self.unread else None

    def judge(self, trial: Trial, values: Any) -> None:
        self.judged[trial.name] = values

    def remember(self) -> None:
        self.remembered = True


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display_module, "SECONDS", 0.01)


@pytest.fixture
def store(tmp_path: Any) -> ArtifactStore:
    return open_store(str(tmp_path))


def shown(progress: FakeProgress, store: ArtifactStore, out: io.StringIO) -> None:
    with Display(cast("Progress", progress), store, out) as display:
        while progress.boards < 3 and not display._broken:
            display._closed.wait(0.01)


def test_a_run_is_shown_and_remembered(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display_module, "stored_evaluation", lambda *where: "tables")
    monkeypatch.setattr(display_module, "validation_metrics", lambda *what: {"val/auc": 0.7})
    progress, out = FakeProgress(), io.StringIO()
    shown(progress, store, out)
    assert out.getvalue() == "[trials 1/1 done, 0 running, 0 failed; 0 s left]\n"
    assert progress.remembered
    assert progress.judged == {"tune": {"val/auc": 0.7}}


def test_a_damaged_evaluation_is_left_out(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*where: Any) -> Any:
        raise Damaged("evaluate", "0" * 20, "cut")

    monkeypatch.setattr(display_module, "stored_evaluation", damaged)
    progress = FakeProgress()
    shown(progress, store, io.StringIO())
    assert not progress.judged
    assert progress.boards >= 3


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_an_output_that_nobody_reads_ends_no_run(store: ArtifactStore) -> None:
    progress = FakeProgress()
    shown(progress, store, Closed())
    assert progress.remembered


def test_a_fault_of_the_display_is_said_once_and_ends_no_run(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = FakeProgress()
    monkeypatch.setattr(progress, "board", lambda: 1 / 0)
    monkeypatch.setattr(display_module.sys, "__stderr__", errors := io.StringIO())
    shown(progress, store, io.StringIO())
    assert errors.getvalue() == (
        "warning: the display has ended (ZeroDivisionError: division by zero); the run goes on\n"
    )
