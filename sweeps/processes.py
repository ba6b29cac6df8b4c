"""Processes of this machine, as Linux shows them; elsewhere none is found."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessStatus:
    """A process that has not ended."""

    parent: int
    """Id of the process that started it."""
    began: str
    """When it began, in ticks since the system started: ids are used again."""


def process_status(pid: int) -> ProcessStatus | None:
    """Parent and start of a running process; None for one that has ended, a zombie too."""
    with suppress(OSError):
        state, parent, *fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        # The first thread may have ended before the others, which still hold files.
        if state not in "ZX" or len(os.listdir(f"/proc/{pid}/task")) > 1:
            return ProcessStatus(int(parent), fields[17])
    return None
