"""Options of `fairfm sweep run` that are refused."""

from __future__ import annotations

import click
import pytest

from sweeps.commands.sweep import sweep

from ..conftest import WriteStudy


def test_cores_belong_to_this_machine(write_study: WriteStudy) -> None:
    arguments = ["run", str(write_study()), "--address", "auto", "--cpus", "2"]
    with pytest.raises(click.UsageError, match="a cluster's nodes declare their own"):
        sweep.main(arguments, standalone_mode=False)


def test_no_core_is_too_few(write_study: WriteStudy) -> None:
    with pytest.raises(click.BadParameter, match="0 is not in the range"):
        sweep.main(["run", str(write_study()), "--cpus", "0"], standalone_mode=False)
