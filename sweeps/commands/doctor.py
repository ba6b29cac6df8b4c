"""`fairfm doctor`: whether studies can run here, and what to do if not."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fairfm_core.commands.places import Place
from sweeps.cli import SOME_FAILED

if TYPE_CHECKING:
    from sweeps.doctor.diagnosis import Diagnosis


@click.command()
@click.option(
    "--results",
    type=Place(),
    default="results",
    show_default=True,
    metavar="FOLDER",
    help="Folder or URI that results will be written to.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(results: str, as_json: bool) -> None:
    """Check installation, devices, disks and services, and say what to do.

    Exits with 1 if something prevents studies from running. Starts a Ray on this machine for a
    moment; changes nothing.
    """
    from sweeps.doctor.checks import checks
    from sweeps.doctor.diagnosis import diagnosed

    found: dict[str, Diagnosis] = {}
    for check in checks(results):
        found[check.name] = diagnosed(check)
        if not as_json:
            click.echo(f"{found[check.name].state:8} {check.name:16} {found[check.name].text}")
    if as_json:
        click.echo(json.dumps({name: asdict(each) for name, each in found.items()}, indent=1))
    else:
        click.echo(_verdict([each.state for each in found.values()]))
    if any(each.state == "problem" for each in found.values()):
        sys.exit(SOME_FAILED)


def _verdict(states: Sequence[str]) -> str:
    from analysis.wording import counted

    counts = [(states.count(each), each) for each in ("problem", "warning")]
    return "verdict: " + (", ".join(counted(n, each) for n, each in counts if n) or "all is well")
