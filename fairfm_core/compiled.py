"""Loops in machine code: compiled on first use, kept on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compiled(function: Callable[..., Any], reordered: bool = False) -> Callable[..., Any]:
    """`function` compiled by numba, running outside the interpreter lock.

    `reordered` lets the processor add several terms of a sum at once, in another order.

    The machine code is kept beside the package, or in the user's cache, so that the workers of a
    sweep do not each compile again; where neither folder can be written it is made anew.
    """
    from numba import njit

    how = {"nogil": True, "error_model": "numpy"}
    how["fastmath"] = {"reassoc", "contract"} if reordered else False
    try:
        return njit(cache=True, **how)(function)
    except RuntimeError:  # numba found no folder for its cache
        return njit(**how)(function)
