"""`fairfm cluster up`, `down`, `status` and `ui`: clusters by Ray's own launcher."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from sweeps.cli import SOME_FAILED
from sweeps.commands.cluster_ui import ui

CLUSTER = click.argument("file", type=click.Path(path_type=Path))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
PRICES = click.option(
    "--prices",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Price list of your own, written as sweeps/clusters/prices.yaml.",
)


@click.group()
def cluster() -> None:
    """Start, stop and follow a Ray cluster.

    FILE is a cluster file, as `ray up` reads it; sweeps/clusters has one for each kind of place.
    """


cluster.add_command(ui)


@cluster.command()
@CLUSTER
@PRICES
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="AMOUNT",
    help="Refuse a cluster that may cost more before every node ends itself.",
)
@click.option("--restart", is_flag=True, help="Restart Ray although something runs on it.")
def up(file: Path, prices: Path | None, max_cost: float | None, restart: bool) -> None:
    """Start a cluster, or bring one that runs up to date.

    Ray restarts; a cluster on which something runs is left alone unless --restart is given. Shows
    what the cluster costs.
    """
    from sweeps.cluster.costs import check_cost, cluster_cost, cost_lines, read_prices
    from sweeps.cluster.description import read_cluster
    from sweeps.cluster.launcher import check_idle, start_cluster

    description, price_list = read_cluster(file), read_prices(prices)
    cost = cluster_cost(description, price_list)
    check_cost(cost, max_cost, price_list)
    if not restart:
        check_idle(description)
    for line in () if cost is None else cost_lines(cost, price_list):
        click.echo(line)
    click.echo(start_cluster(description, sys.stdout).text(description.name))


@cluster.command()
@CLUSTER
def down(file: Path) -> None:
    """Stop every node of a cluster, and say what still costs money.

    Exits with 1 if Ray may still run on a host.
    """
    from sweeps.cluster.costs import still_costing
    from sweeps.cluster.description import read_cluster
    from sweeps.cluster.launcher import stop_cluster

    description = read_cluster(file)
    left = stop_cluster(description, sys.stdout)
    for host, reason in left.items():
        click.echo(f"warning: Ray may still run on {host} ({reason})", err=True)
    click.echo(f"cluster {description.name} is {'not all ' if left else ''}down")
    click.echo(still_costing(description))
    if left:
        sys.exit(SOME_FAILED)


@cluster.command()
@CLUSTER
@PRICES
@AS_JSON
def status(file: Path, prices: Path | None, as_json: bool) -> None:
    """Show the nodes of a cluster, what each has and does, what waits for more, and the cost."""
    from sweeps.cluster.costs import hourly_line, read_prices
    from sweeps.cluster.description import read_cluster
    from sweeps.cluster.launcher import cluster_state

    description, price_list = read_cluster(file), read_prices(prices)
    state = cluster_state(description)
    if as_json:
        click.echo(json.dumps(asdict(state), indent=1))
        return
    click.echo(state.text(description.name))
    if line := hourly_line(description, [node.type for node in state.nodes], price_list):
        click.echo(line)
