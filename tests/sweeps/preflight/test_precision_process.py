"""Precisions are measured in another process, and what was chosen is said."""

from __future__ import annotations

import pytest

from sweeps.planning.study import Resources
from sweeps.preflight import precision_process
from sweeps.preflight.precision_process import precision_here
from sweeps.status.network_questions import Question


def asked(monkeypatch: pytest.MonkeyPatch, *questions: Question) -> tuple[str, list[str]]:
    """What is chosen where these are the questions, and the lines for the user."""
    lines: list[str] = []
    monkeypatch.setattr(precision_process, "gain_questions", lambda trials: list(questions))
    return precision_here([], Resources(gpus=0), lines.append), lines


def question(gain: int, kept: bool = False) -> Question:
    """Its answer is `gain`."""
    return Question("builtins:abs", (gain,), kept=kept)


def test_what_is_measured_elsewhere_is_chosen_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    precision, (measuring, taken) = asked(monkeypatch, question(3), question(2))
    assert precision == "bf16"
    assert measuring.startswith("measuring how fast each network is")
    assert taken.startswith("precision: bf16; bf16 is 2 times as fast as fp32")


def test_a_kept_answer_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    one = question(-1, kept=True)
    assert one.answer() == 1
    precision, (taken,) = asked(monkeypatch, one)
    assert precision == "auto"
    assert taken.startswith("precision: fp32; bf16 is 1 times as fast")


def test_a_measurement_that_fails_chooses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Question("builtins:divmod", (1, 0), kept=False)
    precision, (_, failed) = asked(monkeypatch, failing)
    assert precision == "auto"
    assert failed.startswith("precision: fp32, because the measurement has failed (ZeroDivision")


def test_gpus_decide_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_process, "gain_questions", lambda trials: [question(3)])
    assert precision_here([], Resources(gpus=1), print) == "auto"
