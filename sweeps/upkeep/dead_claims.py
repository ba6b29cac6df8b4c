"""What killed drivers leave behind in `claims/`, told from what living ones use.

A driver is dead when its process on this machine is gone or, on another machine, when it has not
given a heartbeat for a day. What cannot be assigned to a driver counts by its own age.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath

from fairfm_core.artifacts import ArtifactStore
from sweeps.claims.claims import (
    CLAIMS,
    DRIVERS,
    UNREADABLE,
    Driver,
    discard_claim,
    read_claim,
    read_heartbeat,
    seems_alive,
)

DAY = 24 * 3600
"""Seconds after which a driver on another machine, or a file of nobody, counts as dead."""
UNFINISHED = re.compile(r"\.(?P<name>[^.]+)\.(?P<token>[0-9a-f]{16})")
"""A claim that a driver was about to make."""


def dead_claims(store: ArtifactStore) -> Iterator[tuple[str, int, Callable[[], None]]]:
    """Each file in `claims/` that belongs to no living driver: path, bytes, how to remove it."""
    for path, size in store.sizes(CLAIMS).items():
        place, file = f"{CLAIMS}/{path}", PurePosixPath(path)
        remove: Callable[[], None] = partial(store.discard, store.path(place))
        if unfinished := UNFINISHED.fullmatch(path):
            driver = read_heartbeat(store, unfinished["token"])
        elif file.name.startswith(".") or file.suffix != ".json":
            continue
        elif file.parent.name == DRIVERS:
            driver = read_heartbeat(store, file.stem)
        else:
            driver = read_claim(store, file.stem)
            remove = partial(discard_claim, store, file.stem, driver)
        if _is_dead(store, driver, place):
            yield place, size, remove


def _is_dead(store: ArtifactStore, driver: Driver | None, place: str) -> bool:
    """Whether the driver is dead; of an unknown one, whether the file is older than a day."""
    if driver is None or driver == UNREADABLE:
        written = store.filesystem.get_file_info(store.path(place)).mtime_ns
        return written is not None and time.time() - written / 1e9 > DAY
    return not seems_alive(store, driver, DAY)
