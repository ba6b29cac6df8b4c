"""A question about a network is answered once, and again when anything has changed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from fairfm_core.config.backbone import Backbone
from fairfm_core.errors import BadInput
from sweeps.status import network_questions
from sweeps.status.network_questions import Question

ASKED: list[int] = []
TINY, LARGE = (Backbone(name="vit_tiny_patch16_224", image_size=size) for size in (32, 64))


@dataclass(frozen=True)
class Size:
    """An answer."""

    side: int


def size(backbone: Backbone) -> Size:
    """Answers, unless the image is large."""
    ASKED.append(backbone.image_size)
    if backbone.image_size > 32:
        raise BadInput("too large")
    return Size(backbone.image_size)


@pytest.fixture(autouse=True)
def _asked_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ASKED.clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    answering = ModuleType("answering")
    answering.size = size  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "answering", answering)


def test_the_second_time_nothing_is_computed() -> None:
    question = Question("answering:size", (TINY,))
    assert not question.is_known()
    assert [question.answer(), question.answer()] == [{"side": 32}] * 2
    assert Question("answering:size", (TINY,)).is_known()
    assert ASKED == [32]


def test_a_refusal_is_not_kept() -> None:
    for _ in range(2):
        with pytest.raises(BadInput, match="too large"):
            Question("answering:size", (LARGE,)).answer()
    assert ASKED == [64, 64]


def test_the_answers_of_other_code_are_not_kept() -> None:
    for _ in range(2):
        assert Question("answering:size", (TINY,), kept=False).answer() == {"side": 32}
    assert ASKED == [32, 32]


def test_another_file_is_another_question(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    for content in ("a", "other"):
        weights.write_text(content)
        Question("answering:size", (TINY,), str(weights)).answer()
    assert ASKED == [32, 32]


def test_other_code_and_other_libraries_answer_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    Question("answering:size", (TINY,)).answer()
    monkeypatch.setattr(network_questions, "_answering", lambda: "other")
    Question("answering:size", (TINY,)).answer()
    assert ASKED == [32, 32]
