"""`fairfm cluster up`, `down` and `status`: clusters by Ray's own launcher."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from sweeps.cli import SOME_FAILED

CLUSTER = click.argument("file", type=click.Path(path_type=Path))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def cluster() -> None:
    """Start, stop and follow a Ray cluster.

    FILE is a cluster file, as `ray up` reads it; sweeps/clusters has one for each kind of place.
    """


@cluster.command()
@CLUSTER
def up(file: Path) -> None:
    """Start a cluster, or bring a running one up to date."""
    from sweeps.cluster.description import read_cluster
    from sweeps.cluster.launcher import start_cluster

    description = read_cluster(file)
    click.echo(start_cluster(description, sys.stdout).text(description.name))


@cluster.command()
@CLUSTER
def down(file: Path) -> None:
    """Stop every node of a cluster, and say what still costs money."""
    from sweeps.cluster.description import read_cluster
    from sweeps.cluster.launcher import stop_cluster

    description = read_cluster(file)
    left = stop_cluster(description, sys.stdout)
    for host, reason in left.items():
        click.echo(f"warning: Ray may still run on {host} ({reason})", err=True)
    if left:
        sys.exit(SOME_FAILED)
    click.echo(f"cluster {description.name} is down")


@cluster.command()
@CLUSTER
@AS_JSON
def status(file: Path, as_json: bool) -> None:
    """Show the nodes of a cluster, what each has and does, and what waits for more."""
    from sweeps.cluster.description import read_cluster
    from sweeps.cluster.launcher import cluster_state

    description = read_cluster(file)
    state = cluster_state(description)
    click.echo(json.dumps(asdict(state), indent=1) if as_json else state.text(description.name))
