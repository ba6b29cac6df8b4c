"""`fairfm sweep submit`, `logs`, `attach` and `stop` on a real head of Ray."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fairfm_core.errors import BadInput
from sweeps.cluster.jobs import ClusterJob, _Printed, check_server, new_job
from sweeps.cluster.submission import _write_secrets, read_submission
from sweeps.cluster.tunnel import ClusterPlace, HostAccess
from sweeps.code_version import code_version

from ..conftest import NOT_THE_STUDY, WriteStudy
from ..tracking.servers import free_port
from .conftest import TOKEN, Project, SshServer, Submitter, fairfm_at, laptop
from .heads import Head, end_tree

PATIENCE = 1200.0


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for something that must happen, however slow the machine is."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.ray
@pytest.mark.cluster
def test_the_life_of_a_submitted_study(
    head: Head, project: Project, user: Submitter, tmp_path: Path
) -> None:
    """Submitted, refused twice, followed by a laptop that vanishes, stopped, submitted again."""
    place = ["--address", head.url]
    options = [*place, "--results", project.results]

    submitted = user("sweep", "submit", "study.yaml", *options)
    assert submitted.returncode == 0, submitted.stderr
    lines = submitted.stdout.splitlines()
    assert lines[0].startswith("package: ")
    assert code_version(project.folder) in lines[0]
    assert lines[0].endswith("; left out as secret: .env")
    assert lines[1] == "the head has accepted the study: code, data and results are in place"
    assert lines[2].startswith("MLflow: no server runs on the head (start one with: fairfm ")
    assert lines[3].startswith("not sent: MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, ")
    assert lines[4] == "study afar runs on the cluster (attempt 1)"
    assert lines[5] == f"follow it with: fairfm sweep attach afar --address {head.url}"

    again = user("sweep", "submit", "study.yaml", *options)
    assert again.returncode == 2
    assert again.stderr == (
        "error: study afar is already running on this cluster (attempt 1); follow it with: "
        f"fairfm sweep attach afar --address {head.url}\n"
    )

    log, command = tmp_path / "log", ["sweep", "attach", "afar", *place]
    vanishing, interrupted = (following(project, command, tmp_path / n) for n in ("log", "other"))
    wait_until(lambda: "0 failed" in log.read_text() or vanishing.poll() is not None)
    vanishing.kill()
    interrupted.send_signal(signal.SIGINT)
    assert (vanishing.wait(), interrupted.wait()) == (-signal.SIGKILL, 130)
    last = (tmp_path / "other").read_text().splitlines()[-1]
    assert last.startswith("no longer following; the run goes on. Follow it again with: fairfm ")
    assert "resume after any interruption with: fairfm sweep submit study.yaml" in log.read_text()
    assert "INFO" not in log.read_text()

    tail = user("sweep", "logs", "study.yaml", *place, "--tail", 1)
    assert tail.returncode == 0, tail.stderr
    assert tail.stdout.startswith("... ")
    assert len(tail.stdout.splitlines()) == 2

    stopped = user("sweep", "stop", "study.yaml", *place)
    assert stopped.stdout.splitlines() == [
        "stopping study afar (attempt 1) ...",
        "stopped; finished work is kept, submit the study again to resume",
    ]
    ended = user("sweep", "attach", "afar", *place)
    assert ended.returncode == 130
    assert ended.stdout.endswith("study afar, attempt 1: stopped\n")
    assert "error: interrupted; finished work is kept" in ended.stdout
    assert not claims(project)

    project.write(base=shorter(project))
    done = user("sweep", "submit", "study.yaml", *options, "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 trials done" in done.stdout
    assert done.stdout.endswith("study afar, attempt 2: done\n")
    record = json.loads((project.results / "studies" / "afar" / "study.json").read_text())
    assert record["code_version"] == code_version(project.folder)
    assert record["code_version"].endswith("+dirty")  # the study was changed
    assert "hunter2" not in everything(head)


def following(project: Project, command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """A laptop on which a command goes on."""
    with log.open("w") as out:
        return subprocess.Popen(
            [*fairfm_at(project), *command],
            cwd=project.folder,
            env=laptop(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def shorter(project: Project) -> dict[str, object]:
    """The study's base with a training that ends."""
    base: dict[str, object] = yaml.safe_load(project.study.read_text())["base"]
    base["adaptation"] = {"method": "linear_probe", "recipe": "smoke", "epochs": 2}
    return base


def claims(project: Project) -> list[Path]:
    """Claims on stages that a driver holds."""
    kept = {".lock", "drivers"}
    return [file for file in (project.results / "claims").iterdir() if file.name not in kept]


def everything(head: Head) -> str:
    """All that the job server says of its jobs."""
    request = urllib.request.Request(
        f"{head.url}/api/jobs/", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request) as answer:
        text: str = answer.read().decode()
    assert "fairfm_study" in text
    return text


@pytest.mark.ray
@pytest.mark.cluster
def test_runs_are_written_to_the_mlflow_server_of_the_head(
    head: Head, project: Project, user: Submitter, ssh_server: SshServer, tmp_path: Path
) -> None:
    """`fairfm cluster ui` starts and shows it, and may end; the study takes its secrets along."""
    from mlflow import MlflowClient

    file = ssh_server.cluster_file(tmp_path / "cluster.yaml", head.port)
    near = project.folder / "near.yaml"
    values = yaml.safe_load(project.study.read_text())
    near.write_text(yaml.safe_dump({**values, "study": "near", "base": shorter(project)}))
    results = project.results.parent / "near"
    secrets = ssh_server.home / ".fairfm"
    secrets.mkdir(exist_ok=True)
    (head.home / ".fairfm").symlink_to(secrets)  # one home, for SSH and for Ray
    port, remote = free_port(), free_port()  # of laptop and head, which here are one machine
    log = tmp_path / "log"
    options = ["--results", str(results), "--port", str(port), "--head-port", str(remote)]
    shown = following(project, ["cluster", "ui", str(file), *options], log)
    try:
        told = f"MLflow of the cluster on http://127.0.0.1:{port}, until Ctrl-C"
        wait_until(lambda: told in log.read_text() or shown.poll() is not None)
        assert told in log.read_text(), log.read_text()

        place = ["--cluster", file, "--results", results]
        done = user("sweep", "submit", near, *place, "--follow")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "not sent" not in done.stdout
        assert not list(secrets.glob("*.env"))  # the run has read them
        assert "hunter2" not in everything(head)
        assert f"MLflow: http://127.0.0.1:{remote}/#/experiments/" in done.stdout

        shown.send_signal(signal.SIGINT)
        assert shown.wait(PATIENCE) == 0
    finally:
        end_tree(shown)
    assert log.read_text().endswith("the tunnel is closed; the server goes on\n")
    client = MlflowClient(f"http://127.0.0.1:{remote}")
    experiment = client.get_experiment_by_name("fairfm-near")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], NOT_THE_STUDY)
    assert run.info.status == "FINISHED"
    assert (secrets / "mlflow.db").exists()
    assert [file.name for file in results.glob("mlartifacts/*/*/artifacts/config.yaml")]


@pytest.mark.slow
@pytest.mark.ray
def test_what_lacks_on_the_head_is_told_before_acceptance(
    head: Head, project: Project, user: Submitter, ssh_server: SshServer, tmp_path: Path
) -> None:
    """Through SSH, as for a cluster file; no secret is left on the head."""
    file = ssh_server.cluster_file(tmp_path / "cluster.yaml", head.port)
    wrong = project.folder / "wrong.yaml"
    wrong.write_text(
        project.study.read_text()
        .replace("study: afar", "study: wrong")
        .replace("dataset: ", "dataset: /nowhere")
    )
    refused = user("sweep", "submit", wrong, "--cluster", file, "--results", tmp_path / "results")
    assert refused.returncode == 2, refused.stdout
    assert refused.stderr.startswith("error: the head refuses the study: /nowhere/")
    assert "does not exist; make one with: fairfm data prepare" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    never = user("sweep", "attach", "wrong", "--cluster", file)
    assert never.returncode == 2
    assert "study wrong was never submitted to this cluster" in never.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_a_head_that_asks_for_a_token_says_so_in_one_line(head: Head, project: Project) -> None:
    kept = {name: value for name, value in laptop().items() if not name.startswith("RAY_AUTH")}
    for token in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}):
        refused = subprocess.run(
            [*fairfm_at(project), "sweep", "stop", "afar", "--address", head.url],
            env={**kept, **token},
            cwd=project.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"error: the cluster at {head.url} does not take this token; set ")


@pytest.mark.slow
def test_secrets_go_through_ssh_into_a_file_of_their_owner(ssh_server: SshServer) -> None:
    head = HostAccess(ssh_server.host, ssh_server.user, str(ssh_server.key))
    file, value = "$HOME/.fairfm/first-1.env", 'it\'s $HOME; "hunter2"'
    _write_secrets(head, file, {"MLFLOW_TRACKING_PASSWORD": value})
    written = ssh_server.home / ".fairfm" / "first-1.env"
    assert written.stat().st_mode & 0o777 == 0o600
    assert written.parent.stat().st_mode & 0o777 == 0o700
    read = f'. "{file}" && rm -f "{file}" && exec printenv MLFLOW_TRACKING_PASSWORD'
    environment = {"HOME": str(ssh_server.home), "PATH": os.environ["PATH"]}
    printed = subprocess.run(
        read, shell=True, env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout == f"{value}\n"
    assert not written.exists()


@pytest.mark.parametrize(
    ("changes", "results", "told"),
    [
        ({}, "results", "--results names 'results', which is relative"),
        ({"matrix": {"data.dataset": {"a": "/data/a", "b": "b"}}}, "/r", "names 'b', which is"),
        ({"matrix": {"weights": {"own": {"file": "w.pth"}}}}, "/r", "names 'w.pth', which is"),
        ({"tracking": {"uri": "http://a:b@host"}}, "/r", "as text: write http://host, and set"),
    ],
)
def test_what_belongs_to_this_machine_is_refused(
    changes: dict[str, object], results: str, told: str, write_study: WriteStudy
) -> None:
    place = ClusterPlace(address="http://127.0.0.1:8265")
    with pytest.raises(BadInput, match=told):
        read_submission(write_study(**changes), results, place)


def test_the_codes_of_a_run_are_those_of_its_job() -> None:
    def code(state: str, exit_code: int | None = None) -> int:
        ended = ClusterJob("a-1", "run", "a", 1, state, exit_code, "no room\nTraceback", {})
        return ended.end_code()

    assert [code("SUCCEEDED", 0), code("FAILED", 1), code("FAILED", 2)] == [0, 1, 2]
    assert [code("STOPPED"), code("FAILED", 130)] == [130, 130]
    assert code("FAILED", -signal.SIGKILL) == 2
    with pytest.raises(BadInput, match=r"job a-1 has failed: no room$"):
        code("FAILED")
    assert new_job("run", "a", 3).submission_id == "a-3"


def test_a_new_connection_prints_only_what_is_new() -> None:
    """The job server begins each time with the first character of the log."""
    out = io.StringIO()
    printed = _Printed(out)
    noise = "2026-01-01 00:00:00,1 INFO job_manager.py:1 -- Runtime env is setting up.\n"
    printed.up_to(len(noise) + 6, f"{noise}first\n")
    printed.up_to(len(noise) + 6, f"{noise}first\n")  # a second connection
    printed.up_to(len(noise) + 13, "second\n")
    printed.up_to(len(noise) + 19, f"{noise}first\nsecond\nthird\n")  # a third, in one piece
    assert out.getvalue() == "first\nsecond\nthird\n"


@pytest.mark.slow
def test_nothing_that_answers_is_one_line() -> None:
    with pytest.raises(BadInput, match=r"no job server answers at http://127.0.0.1:9; is the"):
        check_server("http://127.0.0.1:9")
