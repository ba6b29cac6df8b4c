"""What a check of `fairfm doctor` finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Diagnosis:
    """The state of one part of an installation."""

    state: State
    found: str
    """What was found, in a line."""
    remedy: str = ""
    """What to do; empty if nothing."""

    @property
    def text(self) -> str:
        """Both in one line."""
        return f"{self.found}: {self.remedy}" if self.remedy else self.found


@dataclass(frozen=True)
class Check:
    """One check."""

    name: str
    examine: Callable[[], Diagnosis]


def ok(found: str) -> Diagnosis:
    """Nothing to do."""
    return Diagnosis("ok", found)


def warning(found: str, remedy: str) -> Diagnosis:
    """Studies run, but worse than they could."""
    return Diagnosis("warning", found, remedy)


def problem(found: str, remedy: str) -> Diagnosis:
    """Studies cannot run."""
    return Diagnosis("problem", found, remedy)


def diagnosed(check: Check) -> Diagnosis:
    """The check's diagnosis; a check that fails itself has found a problem."""
    try:
        return check.examine()
    except Exception as error:  # whatever a broken installation raises
        said = " ".join(str(error).split())[:200]
        return problem(f"{type(error).__name__}: {said}", "reinstall: make setup")
