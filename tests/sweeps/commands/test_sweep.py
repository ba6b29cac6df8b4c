"""Options of `fairfm sweep run` that are refused; `fairfm sweep status --watch`."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from sweeps.claims.claims import Claims
from sweeps.cli import cli
from sweeps.commands.submit import study_name
from sweeps.commands.sweep import failure_lines, resume_command, sweep
from sweeps.live.board import Board

from ..conftest import WriteStudy


def test_cores_belong_to_this_machine(write_study: WriteStudy) -> None:
    arguments = ["run", str(write_study()), "--address", "auto", "--cpus", "2"]
    with pytest.raises(click.UsageError, match="a cluster's nodes declare their own"):
        sweep.main(arguments, standalone_mode=False)


def test_no_core_is_too_few(write_study: WriteStudy) -> None:
    with pytest.raises(click.BadParameter, match="0 is not in the range"):
        sweep.main(["run", str(write_study()), "--cpus", "0"], standalone_mode=False)


def test_watching_what_nobody_runs_ends_in_a_pipe(write_study: WriteStudy, tmp_path: Path) -> None:
    arguments = ["status", str(write_study()), "--results", str(tmp_path / "none"), "--watch"]
    done = CliRunner().invoke(sweep, arguments)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0] == f"no run of study small is at work in {tmp_path}/none"
    assert lines[1].startswith("run what is missing with: fairfm sweep run ")
    assert lines[2] == "study small: 0 of 8 done, 0 failed"


def test_watching_is_for_people(write_study: WriteStudy) -> None:
    with pytest.raises(click.UsageError, match="--watch is for people"):
        sweep.main(["status", str(write_study()), "--watch", "--json"], standalone_mode=False)


@pytest.mark.parametrize(
    ("named", "options", "told"),
    [
        ("tune.s0", ["--address", "http://127.0.0.1:9"], "a cluster has logs of studies"),
        ("study.yaml", ["--json"], "--json and --study are for trials"),
        ("study.yaml", ["--study", "first"], "--json and --study are for trials"),
    ],
)
def test_logs_are_of_a_trial_or_of_a_study(named: str, options: list[str], told: str) -> None:
    with pytest.raises(click.UsageError, match=told):
        sweep.main(["logs", named, *options], standalone_mode=False)


def test_a_submitted_study_is_named_by_its_file_or_its_name(write_study: WriteStudy) -> None:
    assert study_name(str(write_study())) == study_name("small") == "small"
    with pytest.raises(BadInput, match="is neither a study's file nor its name"):
        study_name("studies/small")


def test_a_run_is_watched_until_it_ends(
    write_study: WriteStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "results"))
    arguments = ["status", str(write_study()), "--results", store.location, "--watch"]
    with Claims(store) as claims:
        claims.news = lambda: {"board": Board("small", 8, 1, 2, 0, left=75.0).as_json()}
        claims._beat(1)
        monkeypatch.setattr("sweeps.live.watch.time.sleep", lambda seconds: claims.close())
        done = CliRunner().invoke(sweep, arguments)
    lines = done.output.splitlines()
    assert lines[0] == "[trials 1/8 done, 2 running, 0 failed; about 1 min 15 s left]"
    assert lines[1] == "the run has ended"
    assert lines[3] == "study small: 0 of 8 done, 0 failed"


def test_ctrl_c_ends_the_watching_alone(
    write_study: WriteStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    store = open_store(str(tmp_path / "results"))
    arguments = ["status", str(write_study()), "--results", store.location, "--watch"]
    with Claims(store) as claims:
        claims.news = lambda: {"board": Board("small", 8, 1, 2, 0, left=75.0).as_json()}
        claims._beat(1)
        monkeypatch.setattr("sweeps.live.watch.time.sleep", interrupt)
        done = CliRunner().invoke(sweep, arguments)
    assert done.exit_code == 0
    assert done.output.splitlines()[1:] == ["no longer watching; a run goes on"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("out", None, None, ()), "--results out"),
        (("s3://b/x", "10.0.0.1:6379", None, ()), "--results s3://b/x --address 10.0.0.1:6379"),
        (("my out", None, 4, ("a", "b c")), "--results 'my out' --cpus 4 --only a --only 'b c'"),
        (("s3://key:hidden@b/x", None, None, ()), "--results 's3://***@b/x'"),
    ],
)
def test_the_command_that_resumes_works_where_this_one_did(
    given: tuple[str, str | None, int | None, tuple[str, ...]], words: str
) -> None:
    assert resume_command(Path("study.yaml"), *given) == f"fairfm sweep run study.yaml {words}"


def test_a_reason_is_told_once_with_its_trials() -> None:
    lost = "pretrain: Connection refused\n[gloo/transport/tcp/pair.cc:144]"
    failures = {f"mae.s{seed}": lost for seed in range(5)} | {"scratch.s0": "adapt: loss is nan"}
    assert failure_lines(failures) == [
        "  failed mae.s0, mae.s1, mae.s2 and 2 more: pretrain: Connection refused "
        "[gloo/transport/tcp/pair.cc:144]",
        "  failed scratch.s0: adapt: loss is nan",
    ]


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_refused_plan_shows_no_password(
    option: list[str], monkeypatch: pytest.MonkeyPatch, write_study: WriteStudy
) -> None:
    def refuse(*arguments: object) -> None:
        raise BadInput("postgresql://ann:hunter2@db/runs?password=hunter2 is away")

    monkeypatch.setattr("sweeps.status.status.study_cost", refuse)
    done = CliRunner().invoke(cli, ["sweep", "plan", str(write_study()), *option])
    assert isinstance(done.exception, BadInput)
    assert "hunter2" not in done.output
    assert ("postgresql://***@db" in done.output) == bool(option)
