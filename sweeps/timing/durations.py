"""How long work took on this machine, remembered from run to run in the user's cache folder.

One small file: for each kind of work (method, network, device) its seconds and its amount. It is
only ever read for an estimate, so it may be removed at any time, and a home that cannot be written
means that nothing is remembered. Nothing of it enters a fingerprint or a result.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fairfm_core.storage.kept import cache_folder

KEPT = 0.3
"""What is known from before, as a share of what a run adds: the latest run counts most."""
MOST_KINDS = 500
"""Kinds of work that are remembered; the oldest are forgotten."""
LARGEST_FILE = 1 << 20
"""Bytes of the largest file that is read."""


@dataclass(frozen=True)
class Measured:
    """Work that was measured."""

    seconds: float
    amount: float

    @property
    def rate(self) -> float:
        """Seconds for each unit."""
        return self.seconds / self.amount


def durations_file() -> Path:
    """Where the durations are kept."""
    return cache_folder() / "durations.json"


def read_durations() -> dict[str, Measured]:
    """What earlier runs have measured, by kind of work; empty where nothing can be read."""
    with suppress(OSError, ValueError, RecursionError):
        file = durations_file()
        if file.stat().st_size > LARGEST_FILE:
            return {}
        content = json.loads(file.read_bytes())
        items = content.items() if isinstance(content, dict) else ()
        return {kind: read for kind, each in items if (read := _measured(each))}
    return {}


def add_durations(measured: Mapping[str, Measured]) -> None:
    """Remember what a run has measured beside what others have; does nothing where it cannot."""
    if not measured:
        return
    known = read_durations()
    for kind, new in measured.items():
        known[kind] = _blended(known.pop(kind, None), new)
    content = {kind: [each.seconds, each.amount] for kind, each in known.items()}
    latest = dict(list(content.items())[-MOST_KINDS:])
    file = durations_file()
    hidden = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            hidden.write_text(json.dumps(latest, indent=0))
            os.replace(hidden, file)
        finally:
            hidden.unlink(missing_ok=True)


def _blended(known: Measured | None, new: Measured) -> Measured:
    """The latest rate, with a part of the earlier one."""
    if known is None:
        return new
    return Measured(new.seconds + KEPT * known.rate * new.amount, (1 + KEPT) * new.amount)


def _measured(each: object) -> Measured | None:
    """A checked entry of the file."""
    match each:
        case [int() | float() as seconds, int() | float() as amount]:
            usable = math.isfinite(seconds) and math.isfinite(amount) and seconds > 0 < amount
            return Measured(float(seconds), float(amount)) if usable else None
    return None
