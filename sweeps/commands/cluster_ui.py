"""`fairfm cluster ui`: the MLflow server of a cluster's head, on this machine's loopback."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from fairfm_core.errors import BadInput
from sweeps.commands.submit import connected
from sweeps.commands.track import PORT, PORT_OPTION


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--results", metavar="FOLDER", help="Folder or URI of all results, where the files of runs go."
)
@click.option(
    "--database",
    metavar="URI",
    help="sqlite:////FILE on a disk of the head, or postgresql://HOST/DATABASE.  "
    "[default: .fairfm/mlflow.db in its home folder]",
)
@PORT_OPTION
@click.option(
    "--head-port",
    default=PORT,
    show_default=True,
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Port on the head's own 127.0.0.1, for a server that is started.",
)
def ui(file: Path, results: str | None, database: str | None, port: int, head_port: int) -> None:
    """Open the MLflow server of a cluster, which is started if none runs.

    The server belongs to the head and goes on when this command
    ends: studies that are submitted later write to it. Here it is reached through SSH on 127.0.0.1
    until Ctrl-C.
    """
    from urllib.parse import urlsplit

    from sweeps.cluster.submission import URI
    from sweeps.cluster.tracking_server import start_service, wait_for_answer
    from sweeps.cluster.tunnel import head_access, tunnel
    from sweeps.tracking.server import free_port, is_free

    if not is_free(port):
        raise BadInput(f"port {port} on 127.0.0.1 is taken; use: --port {free_port(port)}")
    with connected(file, None) as (jobs, _):
        job = start_service(jobs, results, database, head_port, click.echo)
        remote = urlsplit(job.settings[URI]).port
        assert remote is not None
        with tunnel(head_access(file), remote, port):
            wait_for_answer(jobs, job, f"http://127.0.0.1:{port}")
            click.echo(f"MLflow of the cluster on http://127.0.0.1:{port}, until Ctrl-C")
            _until_interrupted()
    click.echo("the tunnel is closed; the server goes on")


def _until_interrupted() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
