"""Run the tests of a module against one of its mutants, in a process of its own.

The process is forked from one that has imported the heavy libraries and nothing of the project, so
that a mutant costs the import of the project and its tests alone.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import CodeType

import pytest

ROOT = Path(__file__).parents[2]
SURVIVED, FAILED = 0, 1
"""Of pytest: all tests passed, some failed."""
CPU_FACTOR, CPU_MORE = 8, 60
"""A mutant may take this many times the processor time of the unchanged module, and seconds more:
beyond, it is stuck, and that is noticed."""
ASLEEP = 1800
"""Seconds after which a process that waits for something is stuck."""


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from code that is not its file's."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, changed."""

    def __init__(self, name: str, file: Path, code: CodeType) -> None:
        self._name, self._file, self._code = name, file, code

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Loader(fullname, str(self._file), self._code)
        return importlib.util.spec_from_file_location(fullname, self._file, loader=loader)


def preload() -> None:
    """Import what is slow to import; on one thread, as a fork wants it."""
    import hypothesis
    import numba  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pydantic  # noqa: F401
    import scipy.stats  # noqa: F401
    import timm
    import torch
    import torch._dynamo

    assert timm
    torch.set_num_threads(1)
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants", derandomize=True, database=None, phases=phases, deadline=None
    )


def run(module: str, code: CodeType | None, tests: Sequence[str], seconds: float) -> bool:
    """Whether the tests fail with this code in place of the module's; None is the module's own.

    `seconds` is the processor time that the module's own code takes.
    """
    child = os.fork()
    if not child:
        _run_here(module, code, tests, seconds)
    deadline = time.monotonic() + ASLEEP
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, 9)
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(ended[1]) != SURVIVED


def seconds_of(module: str, tests: Sequence[str]) -> float:
    """Processor seconds of a run of the unchanged module.

    Raises:
        SystemExit: its tests fail.
    """
    before = _children()
    if run(module, None, tests, 600):
        raise SystemExit(f"the tests of {module} fail without any change: {' '.join(tests)}")
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run_here(module: str, code: CodeType | None, tests: Sequence[str], seconds: float) -> None:
    """In the forked process: pytest with the changed module; never returns."""
    limit = int(CPU_FACTOR * seconds + CPU_MORE)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    if code is not None:
        file = ROOT / Path(*module.split(".")).with_suffix(".py")
        sys.meta_path.insert(0, _Finder(module, file, code))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
    options = ["-x", "-q", "--no-header", "--no-summary", "--tb=short", "-p", "no:cacheprovider"]
    options += ["--hypothesis-profile=mutants", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    status = FAILED
    try:
        status = int(pytest.main([*options, "-m", "not slow and not ray", *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)
