"""The console script: a mistyped command is refused with the nearest one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from sweeps.cli import COMMANDS, cli


def test_a_mistyped_command_is_refused_with_the_nearest() -> None:
    done = CliRunner().invoke(cli, ["swep", "run", "study.yaml"])
    assert done.exit_code == 2
    assert "no command 'swep' (did you mean 'sweep'?); known: data, model" in done.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_found_by_its_name(command: str) -> None:
    done = CliRunner().invoke(cli, [command, "--help"])
    assert done.exit_code == 0
    assert f"Usage: cli {command}" in done.output


@pytest.mark.parametrize("kind", ["BadInput", "KeyError"])
def test_no_error_shows_a_password(kind: str) -> None:
    """Neither the line of one that was expected nor the traceback of a bug."""
    script = (
        "import click, sweeps.cli as c\n"
        "from fairfm_core.errors import BadInput\n"
        f"def fail(**options): raise {kind}('s3://key:hunter2@bucket?token=hunter2 is away')\n"
        "c.cli.main = fail\n"
        "c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == (2 if kind == "BadInput" else 1)
    assert "hunter2" not in done.stderr.replace(script, "")
    assert "s3://***@bucket?token=*** is away" in done.stderr
