"""Loops as machine code: compiled on first use, cached on disk where possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compiled(function: Callable[..., Any], reordered: bool = False) -> Callable[..., Any]:
    """`function` compiled by numba to run outside the interpreter lock.

    The machine code is cached beside the package or in the user's cache folder, so that the workers
    of a sweep do not each compile it. If neither is writable, every process compiles it.

    Args:
        function: a function in the subset of Python that numba compiles.
        reordered: allow the terms of a sum to be added in another order, several at a time.
    """
    from numba import njit

    options = {"nogil": True, "error_model": "numpy"}
    options["fastmath"] = {"reassoc", "contract"} if reordered else False
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no writable folder for the cache
        return njit(**options)(function)
