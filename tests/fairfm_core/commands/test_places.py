"""A URI where only a path can be used is refused in one line, and makes no folder called `s3:`."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fairfm_core.commands.places import LocalPath, Place
from fairfm_core.data.node_copy import SOURCE, copies_folder
from fairfm_core.errors import BadInput
from sweeps.cli import cli

URI = "s3://bucket/there"


@pytest.mark.parametrize(
    "command",
    [
        ("model", "convert", "mae", "w.pth", "--out", URI),
        ("model", "convert", "mae", URI, "--out", "w.safetensors"),
        ("model", "check", URI),
        ("data", "seal", URI),
        ("data", "check", "data", "--figure", f"{URI}.pdf"),
        ("data", "prepare", "chexpert", "data", "--out", "out", "--split-list", URI),
        ("evaluate", "predictions.csv", "--out", URI),
        ("ensemble", "a.csv", "b.csv", "--out", URI),
        ("search", "results", "--export", URI),
        ("sweep", "run", URI),
    ],
)
def test_a_uri_is_refused(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(cli, command)
    assert isinstance(ran.exception, BadInput), ran
    assert f"{URI}" in str(ran.exception)
    assert "must be a path on this machine; copy from and to a storage service" in str(
        ran.exception
    )
    assert not list(tmp_path.iterdir())


def test_a_place_is_a_path_or_a_uri() -> None:
    @click.command()
    @click.option("--out", type=Place())
    @click.option("--only", type=LocalPath(path_type=Path))
    def show(out: str, only: Path) -> None:
        click.echo(f"{out!r} {type(only).__name__}")

    ran = CliRunner().invoke(show, ["--out", URI, "--only", "x"])
    assert ran.output == f"'{URI}' PosixPath\n"


def test_copies_are_listed_and_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    copy = copies_folder() / "0123"
    copy.mkdir(parents=True)
    (copy / SOURCE).write_text(f"{URI}\n")
    (copy / "images.npy").write_bytes(bytes(2_500_000))
    ran = CliRunner().invoke(cli, ["data", "copies"])
    assert f"2.5 MB  {URI}\n2.5 MB in {copies_folder()} can be deleted with --delete" in ran.output
    CliRunner().invoke(cli, ["data", "copies", "--delete"])
    assert not list(copies_folder().iterdir())
    assert "0.0 MB in" in CliRunner().invoke(cli, ["data", "copies"]).output


@pytest.mark.parametrize(
    "command",
    [
        ("tables", "results"),
        ("figures", "results"),
        ("report", "results"),
        ("pareto", "results"),
        ("card", "results"),
        ("search", "results"),
        ("power", "--patients", "400"),
        ("evaluate", "predictions.csv"),
        ("ensemble", "a.csv", "b.csv"),
        ("export", "predictions", "results", "probe.s0"),
        ("model", "convert", "mae", "w.pth"),
        ("data", "prepare", "phantom", "fair"),
    ],
)
@pytest.mark.parametrize(
    ("place", "reason"),
    [("file/below", "file is not a folder"), ("/proc/there", "/proc: ")],
)
def test_what_cannot_be_written_is_noticed_before_the_work(
    command: tuple[str, ...],
    place: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    ran = CliRunner().invoke(cli, (*command, "--out", place))
    assert isinstance(ran.exception, BadInput), ran
    assert str(ran.exception).startswith(f"--out {place}: cannot be written (")
    assert reason in str(ran.exception)
    assert str(ran.exception).endswith("); name another place")
