"""The check of a study's networks, in a process of its own that never outlives the driver."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process

from sweeps.planning.plan import Plan
from sweeps.status.status import check_networks


@contextmanager
def networks_checked(plan: Plan) -> Iterator[Future[None]]:
    """Build every network once while Ray starts: one that cannot be built is refused.

    In a process of its own, so that the driver is spared torch's half a gigabyte.
    """
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=end_with_parent
    ) as pool:
        yield pool.submit(check_networks, [trial.trial for trial in plan.trials])


def end_with_parent() -> None:
    """Watch this process's parent: a driver that is killed can end nobody."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
