"""A Ray on this machine alone, without the servers of clusters and dashboards.

Nobody asks its dashboard or reads its workers' output through it, and no machine can be added to
it. Without these servers it starts sooner and takes two seconds of a core less.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from ray._private import utils as ray_utils
from ray._private.node import Node

UNASKED = ("start_monitor", "start_log_monitor", "start_api_server")
"""Methods of Ray's node that start the autoscaler, the reader of log files, and the dashboard."""


@contextmanager
def few_servers() -> Iterator[None]:
    """Let a Ray that starts inside the block do without what it does not need."""
    with ExitStack() as patches:
        for name in UNASKED:
            patches.enter_context(patch.object(Node, name, _start_nothing))
        # The agent of the node then loads no dashboard, and this process does not ask whether it
        # could, which takes importing all of it.
        reason = ImportError("a Ray on one machine has no dashboard")
        patches.enter_context(
            patch.object(ray_utils, "get_dashboard_dependency_error", lambda: reason)
        )
        yield


def _start_nothing(*arguments: object, **options: object) -> None:
    """Take the place of a method that starts a server."""
