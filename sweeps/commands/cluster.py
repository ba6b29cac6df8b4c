"""`fairfm cluster`: what belongs to a cluster and not to a study."""

from __future__ import annotations

import click

from sweeps.commands.cluster_ui import ui


@click.group()
def cluster() -> None:
    """Start, stop and follow a Ray cluster.

    FILE is a cluster file, as `ray up` reads it.
    """


cluster.add_command(ui)
