"""What is asked about the networks of a study, which takes torch and seconds: asked once, and kept.

An answer depends on the settings that are asked about, the code that answers, the versions of torch
and timm, and the file of the weights. It is kept in the user's cache folder under a key of all
these; a refusal is not kept, so that it is said again in full.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import fairfm_core
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED
from fairfm_core.config.named_records import imported
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.storage.kept import keep, recall

ANSWERING = ("config", "models", "training")
"""The folders of fairfm_core whose code answers."""
LIBRARIES = ("torch", "timm")
ANSWER = "answer"


@dataclass(frozen=True)
class Question:
    """A function of fairfm_core and what it is asked about."""

    work: str
    """The function, as "module:function"; it raises BadInput for a network that is refused."""
    arguments: tuple[BaseModel | str | int, ...]
    file: str | None = None
    """A file that the answer depends on."""
    kept: bool = True
    """Whether its answer is kept; not where other code answers, which may change unnoticed."""

    def is_known(self) -> bool:
        """Whether an answer is kept."""
        return self._recalled() is not None

    def answer(self) -> Any:
        """The kept answer as JSON values, or else that of the function, which is kept.

        Raises BadInput as the function does.
        """
        recalled = self._recalled()
        if recalled is not None:
            return recalled[ANSWER]
        answer = imported(self.work)(*self.arguments)
        plain = asdict(answer) if is_dataclass(answer) and not isinstance(answer, type) else answer
        if self.kept:
            keep(self.key, {ANSWER: plain})
        return plain

    def _recalled(self) -> dict[str, Any] | None:
        found = recall(self.key) if self.kept else None
        return found if found is not None and ANSWER in found else None

    @cached_property
    def key(self) -> str:
        """Equal for questions that have the same answer."""
        about = [a.model_dump_json() if isinstance(a, BaseModel) else a for a in self.arguments]
        return fingerprint([self.work, about, _state(self.file), _answering()])


def answered_by_fairfm(recipe: Pretraining) -> bool:
    """Whether the method of a pre-training is one of fairfm's own, not one added to it."""
    return SELF_SUPERVISED[recipe.method].work.startswith(f"{fairfm_core.__name__}.")


def _state(file: str | None) -> list[str | int]:
    """What changes with a file's content; nothing for a file that is missing."""
    if file is None or not os.path.exists(file):
        return []
    status = os.stat(file)
    place = os.path.realpath(file)
    return [place, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


@cache
def _answering() -> str:
    """The code that answers, and the libraries whose networks it builds."""
    package = Path(fairfm_core.__file__).parent
    digest = hashlib.sha256(repr([version(library) for library in LIBRARIES]).encode())
    for folder in ANSWERING:
        for file in sorted((package / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
