"""The console script: a mistyped command is refused with the nearest one."""

from __future__ import annotations

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
