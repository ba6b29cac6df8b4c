"""A training whose node or process is to go saves its state at the next step, and goes on.

Checkpoints of a large network are minutes apart, because saving takes time. A notice (SIGTERM, a
drained node, a spot instance's end) makes the next step the last one of this process: what it has
done is saved, the process ends, and Tune starts the stage on another node.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import ray

from sweeps.ray_session.notices import (
    drain_this_node,
    draining_nodes,
    is_on_aws,
    is_spot_interrupted,
)

LOOK_SECONDS = 2.0
"""Between two looks for a notice."""
LEAVE_SECONDS = 30.0
"""How long after SIGTERM a process that reaches no step may go on."""
LEFT = 75
"""Exit code of a process that has left (EX_TEMPFAIL); Ray shows it."""

_working = threading.Event()
"""Set while this process trains something."""


@contextmanager
def leaving_noticed(nodes: Callable[[], Set[str]]) -> Iterator[None]:
    """Inside the block, training ends with Leaving at its next step if one of the nodes is to go.

    `nodes` asks a connected Ray for their ids.
    """
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(nodes, ended), daemon=True)
    watch.start()
    _working.set()
    try:
        yield
    finally:
        _working.clear()
        ended.set()


def own_node() -> set[str]:
    """The id of this process's node."""
    return {ray.get_runtime_context().get_node_id()}


def leave() -> NoReturn:
    """End this process without a word: its state is saved, and Tune starts the stage again."""
    os._exit(LEFT)


def note_sigterm() -> None:
    """Let SIGTERM end a training at its next step; a process that trains nothing ends as before.

    Only a process's main thread can do this.
    """
    before: Any = signal.getsignal(signal.SIGTERM)

    def noted(number: int, frame: FrameType | None) -> None:
        if _working.is_set():
            _leave_after_checkpoint()
            late = threading.Timer(LEAVE_SECONDS, leave)
            late.daemon = True
            late.start()
        elif callable(before):
            before(number, frame)
        else:
            leave()

    signal.signal(signal.SIGTERM, noted)


def _watch(nodes: Callable[[], Set[str]], ended: threading.Event) -> None:
    """Look for a notice until one is found or the work has ended."""
    on_aws, drained = is_on_aws(), False
    while not ended.wait(LOOK_SECONDS):
        if on_aws and not drained and is_spot_interrupted():
            drain_this_node()
            drained = True
        if drained or nodes() & draining_nodes():
            return _leave_after_checkpoint()
    return None


def _leave_after_checkpoint() -> None:
    from fairfm_core.training.checkpoint import leave_after_checkpoint

    leave_after_checkpoint()
