"""Ctrl-C during a sweep: noted when it is pressed, acted on between two of Tune's steps.

Python raises KeyboardInterrupt wherever the main thread happens to be. Inside Ray that can be a
callback or a `__del__`, which swallow it, and the sweep would simply continue.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Check = Callable[[], None]


@contextmanager
def interrupts_noted() -> Iterator[Check]:
    """Inside the block Ctrl-C raises nothing; the yielded check raises KeyboardInterrupt after one.

    After the first one, further ones are ignored, even when the block has ended: cleaning up takes
    seconds and must not be cut short.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # only the main thread may handle signals, and only it is interrupted
        return
    pressed = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        pressed.set()

    def check() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN if pressed.is_set() else before)
