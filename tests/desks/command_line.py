"""The command line as a user calls it, in this process: exit code, output, and the error's line."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sweeps import cli

LONGEST = 150.0
"""Seconds after which a command counts as hanging: 20 on a machine that is seven times as fast."""


@dataclass(frozen=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def verdict(self) -> str:
        """The last line of the output."""
        return self.out.splitlines()[-1] if self.out else ""

    @property
    def error(self) -> str:
        """The one line of the error; fails if there is none, or more."""
        (line,) = self.err.splitlines()
        assert self.code == 2
        assert line.startswith("error: ")
        assert "Traceback" not in self.out
        return line


Command = Callable[..., Said]


@pytest.fixture
def fairfm(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `fairfm ARGUMENTS`; an exception that would be a traceback fails the test."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["fairfm", *map(str, arguments)])
        # click takes the program's name from how Python was started.
        monkeypatch.setattr(sys.modules["__main__"], "__package__", None)
        out, err, began = io.StringIO(), io.StringIO(), time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = cli.run()
            except SystemExit as ended:
                code = int(ended.code or 0)
        assert time.monotonic() - began < LONGEST
        return Said(code, out.getvalue(), err.getvalue())

    return run
