"""Studies on a real Ray with a real MLflow: run, resume, fail, be killed, and go on."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from fairfm_core.artifacts import ArtifactStore, open_store

from ...one_core import ONE_CORE
from ...warm.starting import warm_fairfm
from ..conftest import NOT_THE_STUDY, STUDY, Fairfm, NewDatabase, WriteStudy

pytestmark = pytest.mark.ray

TUNE_EPOCHS = 4
NAMES = sorted(
    f"{a}.{s}.s{n}" for a in ("probe", "tune") for s in ("standard", "balanced") for n in (0, 1)
)


def predictions(results: Path, study: str = "small") -> dict[str, bytes]:
    """Bytes of every prediction file by trial and split."""
    store = open_store(str(results))
    return {
        f"{trial['name']}/{split}": store.read_bytes(
            "adapt", trial["adapt"], "predictions", f"{split}.parquet"
        )
        for trial in store.read_json("studies", study, "study.json")["trials"]
        for split in ("val", "test")
    }


def runs(uri: str, study: str = "small") -> list[Any]:
    """MLflow's runs of the study's trials and pre-trainings."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(f"fairfm-{study}")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], NOT_THE_STUDY, max_results=1000))


def epochs_of(found: list[Any], uri: str) -> list[tuple[str, int]]:
    """Run and epoch of every point of the loss: also of epochs that a kill had repeated."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return [
        (run.info.run_id, metric.step)
        for run in found
        for metric in client.get_metric_history(run.info.run_id, "train/loss")
    ]


def database(results: Path) -> str:
    return f"sqlite:///{results}/mlflow.db"


Finished = tuple[Path, Path, subprocess.CompletedProcess[str]]
"""Study file, results, and what was printed."""


def run_once(folder: Path, values: dict[str, Any], fairfm: Fairfm) -> Finished:
    """Run a study without interruption."""
    study = folder / "study.yaml"
    study.write_text(yaml.safe_dump(values))
    done = fairfm("sweep", "run", study, "--results", folder / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    return study, folder / "results", done


@pytest.fixture(scope="module")
def short_matrix(study_values: dict[str, Any]) -> dict[str, Any]:
    """The matrix of the small study, whose fine-tunings take a second."""
    probe, tune = (study_values["matrix"]["adaptation"][name] for name in ("probe", "tune"))
    adaptation = {"probe": probe, "tune": tune | {"epochs": TUNE_EPOCHS}}
    return {**study_values["matrix"], "adaptation": adaptation}


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    study_values: dict[str, Any],
    short_matrix: dict[str, Any],
    fairfm: Fairfm,
) -> Finished:
    """The small study with short fine-tunings, run once."""
    values = {**study_values, "matrix": short_matrix}
    return run_once(tmp_path_factory.mktemp("finished"), values, fairfm)


@pytest.fixture(scope="module")
def long_finished(
    tmp_path_factory: pytest.TempPathFactory, study_values: dict[str, Any], fairfm: Fairfm
) -> Finished:
    """The small study, whose fine-tunings are long enough to be struck, run once."""
    return run_once(tmp_path_factory.mktemp("long"), study_values, fairfm)


def test_a_run_ends_with_the_front_the_report_and_the_link(
    finished: Finished,
) -> None:
    _, results, done = finished
    assert "8 of 8 trials done" in done.stdout
    assert "trials 8/8 done, 0 running, 0 failed" in done.stdout
    assert "validation" in done.stdout
    report = (results / "studies/small/report.html").read_text()
    assert len(report) > 10_000
    assert "Trained on" in report
    assert "/studies/small/report.html" in done.stdout
    assert "MLflow: http://127.0.0.1:5000/#/experiments/" in done.stdout
    assert not done.stderr


def test_mlflow_holds_each_trial_once(
    finished: Finished,
) -> None:
    found = runs(database(finished[1]))
    assert sorted(run.info.run_name for run in found) == NAMES
    assert {run.info.status for run in found} == {"FINISHED"}
    for run in found:
        assert {"val/auc", "test/auc", "val/gap_sex", "test_ci/auc_lo"} <= run.data.metrics.keys()
        assert all(key.count("/") == 1 for key in run.data.metrics)
        assert sum(not key.startswith("train/") for key in run.data.metrics) <= 30
        assert run.data.params.keys() == {
            *("adaptation", "sampling", "seed", "weights"),
            *("images.crop", "images.normalisation", "images.interpolation"),
            *("training.epochs", "training.batch_size"),
            *("device", "precision", "host"),
        }


def test_final_values_stand_at_step_0_and_epochs_at_theirs(
    finished: Finished,
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(database(finished[1]))
    for run in runs(database(finished[1])):
        final = client.get_metric_history(run.info.run_id, "test/auc")
        assert [(m.step, m.timestamp > 0) for m in final] == [(0, True)]
        losses = client.get_metric_history(run.info.run_id, "train/loss")
        epochs = 3 if run.data.params["adaptation"] == "probe" else TUNE_EPOCHS
        assert sorted(m.step for m in losses) == list(range(1, epochs + 1))
        files = {f.path for f in client.list_artifacts(run.info.run_id)}
        assert files == {"config.yaml", "evaluation.parquet"}


def test_the_same_command_does_nothing_twice(
    finished: Finished,
    fairfm: Fairfm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study, results, _ = finished
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    markers = {path: path.stat().st_mtime_ns for path in results.rglob("done")}
    values = {run.info.run_id: run.data.metrics for run in runs(database(results))}
    again = fairfm("sweep", "run", study, "--results", results)
    assert again.returncode == 0, again.stderr
    assert "8 of 8 trials done" in again.stdout
    assert not list(tmp_path.iterdir())  # Ray was not started
    assert {path: path.stat().st_mtime_ns for path in results.rglob("done")} == markers
    assert {run.info.run_id: run.data.metrics for run in runs(database(results))} == values


def test_plan_and_status_of_a_finished_study(finished: Finished, fairfm: Fairfm) -> None:
    study, results, _ = finished
    plan = fairfm("sweep", "plan", study, "--results", results)
    assert "adapt: 8, 8, 0, 0" in plan.stdout
    assert "nothing to run" in plan.stdout
    status = json.loads(fairfm("sweep", "status", study, "--results", results, "--json").stdout)
    assert {trial["state"] for trial in status["trials"]} == {"done"}


def in_terminal(*arguments: object) -> tuple[int, str]:
    """The console script on a terminal of 80 x 24; returns its exit code and what was shown."""
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    unset = ("NO_COLOR", "COLUMNS", "LINES")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    process = subprocess.Popen(
        [*warm_fairfm(), *map(str, arguments)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment | {"TERM": "xterm-256color"},
    )
    os.close(terminal)
    shown = b""
    with suppress(OSError), open(master, "rb", buffering=0) as reading:
        while some := reading.read(4096):  # ends with an error when nobody has the terminal
            shown += some
    return process.wait(), shown.decode()


def test_a_longer_evaluation_repeats_no_training_and_is_seen_on_a_terminal(
    finished: Finished, write_study: WriteStudy, short_matrix: dict[str, Any]
) -> None:
    _, results, _ = finished
    adapted = sorted((results / "adapt").iterdir())
    study = write_study(matrix=short_matrix, evaluation={"attributes": ["sex"], "replicates": 21})
    code, shown = in_terminal("sweep", "run", study, "--results", results, "--cpus", 1)
    assert code == 0, shown
    assert sorted((results / "adapt").iterdir()) == adapted
    assert len(runs(database(results))) == 8
    assert "\x1b[?25l" not in shown  # whatever ends the program leaves a cursor
    *boards, last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown).split("small: trials ")[1:]
    assert any("evaluate" in board and "1 cpu" in board for board in boards)
    assert last.startswith("8/8 done, 0 running, 0 failed, 0 waiting\n")
    assert "best so far on validation:" in last.split("8 of 8 trials done")[0]
    assert not [line for board in boards for line in board.splitlines()[1:] if len(line) > 80]


NEW = (sys.executable, "-m", "sweeps")
"""The console script in a new process, as a user's."""


def start(
    study: Path, results: Path, script: Sequence[str] = NEW, **environment: str
) -> subprocess.Popen[str]:
    """The console script in the background."""
    return subprocess.Popen(
        [*script, "sweep", "run", str(study), "--results", str(results)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=study.parent,
        env=os.environ | environment,
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        time.sleep(0.05)


def interrupt(process: subprocess.Popen[str]) -> str:
    """Ctrl-C, once, and again while the run is ending; returns what was printed."""
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    return process.communicate()[0]


def done_count(results: Path, kind: str) -> int:
    return len(list((results / kind).glob("*/done")))


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """What a run has started: Ray with its workers, the check of networks."""
    return psutil.Process(process.pid).children(recursive=True)


def title(process: psutil.Process) -> str:
    """A process's command line; empty once it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def wait_for_death(left: list[psutil.Process]) -> None:
    """All end with their driver; Ray's two agents look for it for a minute, so end them."""
    while any(title(process) and "Agent" not in title(process) for process in left):
        time.sleep(0.2)
    for process in left:
        if "Agent" in title(process):
            process.kill()


@pytest.mark.chaos
@pytest.mark.slow
def test_killed_and_interrupted_ends_as_if_nothing_had_happened(
    long_finished: Finished,
    tmp_path: Path,
    fairfm: Fairfm,
    new_database: NewDatabase,
) -> None:
    """SIGKILL in mid-sweep, SIGINT in mid-sweep, then to the end: the same bits, no run twice."""
    study, whole, _ = long_finished
    results = tmp_path / "results"
    new_database(results / "mlflow.db")
    killed = start(study, results)
    half_done = results / "checkpoints"
    wait_until(lambda: bool(done_count(results, "adapt") and list(half_done.glob("*/*"))), killed)
    started = family(killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.stdout is not None
    killed.stdout.close()
    assert 1 <= done_count(results, "adapt") < 8
    assert list(half_done.glob("*/*"))  # a training goes on from its last checkpoint
    wait_for_death(started)

    interrupted = start(study, results)
    had = done_count(results, "adapt")
    wait_until(lambda: done_count(results, "adapt") > had, interrupted)
    printed = interrupt(interrupted)
    assert "RUNNING" not in {run.info.status for run in runs(database(results))}
    assert interrupted.returncode == 130, printed
    assert "interrupted" in printed
    assert "Traceback" not in printed

    last = fairfm("sweep", "run", study, "--results", results)
    assert last.returncode == 0, last.stdout + last.stderr
    assert predictions(results) == predictions(whole)
    found = runs(database(results))
    assert sorted(run.info.run_name for run in found) == NAMES
    assert {run.info.status for run in found} == {"FINISHED"}
    assert set(Counter(epochs_of(found, database(results))).values()) == {1}
    for kind in ("features", "adapt", "evaluate"):
        names = [path.parent.name for path in (whole / kind).glob("*/done")]
        if kind != "evaluate":  # the whole one was evaluated twice, with other settings
            assert sorted(p.parent.name for p in (results / kind).glob("*/done")) == sorted(names)
    assert not list((results / "checkpoints").glob("*"))


@pytest.mark.chaos
@pytest.mark.slow
def test_a_lost_worker_is_replaced(
    long_finished: Finished,
    write_study: WriteStudy,
    tmp_path: Path,
    new_database: NewDatabase,
) -> None:
    study = write_study(exclude=[{"adaptation": "probe"}], seeds=[0])
    results = tmp_path / "results"
    new_database(results / "mlflow.db")
    running = start(study, results)

    def workers() -> list[psutil.Process]:
        return [process for process in family(running) if "Trainable" in title(process)]

    wait_until(lambda: bool(workers()), running)
    time.sleep(1.0)
    for worker in workers():
        worker.kill()
    printed, _ = running.communicate()
    assert running.returncode == 0, printed
    whole = predictions(long_finished[1])
    assert predictions(results) == {key: whole[key] for key in predictions(results)}


Troubled = tuple[Path, Path, str]
"""Study file, results, and what was printed."""


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory, study_values: dict[str, Any]) -> Troubled:
    """A run with a trial that diverges and a tracker that is down: nothing listens on the discard
    port of the loopback."""
    folder = tmp_path_factory.mktemp("troubled")
    tune = {"method": "end_to_end", "recipe": "smoke", "epochs": 1}
    diverging = tune | {"base_lr": 1e30, "warmup_epochs": 0}
    probe = {"method": "linear_probe", "recipe": "smoke", "epochs": 2}
    changes: dict[str, Any] = {
        "matrix": {"adaptation": {"bad": diverging, "good": probe}},
        "seeds": [0],
        "tracking": {"uri": "http://ann:hunter2@127.0.0.1:9"},
    }
    study = folder / "study.yaml"
    study.write_text(yaml.safe_dump({**study_values, **changes}))
    retries = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    process = start(study, folder / "results", warm_fairfm(), **retries, **ONE_CORE)
    printed, _ = process.communicate()
    assert process.returncode == 1, printed
    return study, folder / "results", printed


@pytest.mark.slow
def test_a_diverged_trial_fails_alone(troubled: Troubled, fairfm: Fairfm) -> None:
    study, results, printed = troubled
    assert "1 of 2 trials done" in printed
    assert "failed bad.s0: adapt: loss is" in printed
    assert "at step" in printed
    assert (results / "studies/small/report.html").exists()
    status = fairfm("sweep", "status", study, "--results", results)
    assert "bad.s0: failed: adapt: loss is" in status.stdout


@pytest.mark.slow
def test_a_tracker_that_is_down_fails_no_trial_and_is_caught_up(
    troubled: Troubled, tmp_path: Path, fairfm: Fairfm, new_database: NewDatabase
) -> None:
    _, results, printed = troubled
    assert "warning: MLflow at http://127.0.0.1:9 cannot be opened" in printed
    assert printed.count("warning: MLflow") == 2  # when it began, and at the end what to do
    assert "--study small --uri http://127.0.0.1:9\n" in printed
    assert "hunter2" not in printed
    assert not [f for f in results.rglob("*") if f.is_file() and b"hunter2" in f.read_bytes()]
    assert "failed good.s0" not in printed
    refused = fairfm("track", "sync", results)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "give --uri http://127.0.0.1:9 to use it" in refused.stderr
    other = new_database(tmp_path / "other.db")
    assert fairfm("track", "sync", results, "--uri", other).returncode == 0
    found = {run.info.run_name: run.info.status for run in runs(other)}
    assert found["good.s0"] == "FINISHED"
    assert found.get("bad.s0", "FAILED") == "FAILED"


def test_another_tracker_is_brought_up_to_date_once(
    finished: Finished, tmp_path: Path, fairfm: Fairfm
) -> None:
    _, results, _ = finished
    other = f"sqlite:///{tmp_path}/other.db"
    for _ in range(2):  # the second changes nothing
        done = fairfm("track", "sync", results, "--uri", other)
        assert done.returncode == 0, done.stderr
        assert "8 of 8 trials written" in done.stdout
        mine = {run.info.run_name: run.data.metrics for run in runs(other)}
        assert len(mine) == 8
        theirs = {run.info.run_name: run.data.metrics for run in runs(database(results))}
        for name, values in mine.items():
            assert values["test/auc"] == theirs[name]["test/auc"]


def test_a_renamed_label_and_another_evaluation_reach_mlflow(
    finished: Finished,
    short_matrix: dict[str, Any],
    write_study: WriteStudy,
    tmp_path: Path,
    fairfm: Fairfm,
) -> None:
    """Identity is content: the same trials under other names are the same runs."""
    results = tmp_path / "results"
    shutil.copytree(finished[1], results)
    adaptation = short_matrix["adaptation"]
    renamed = {"linear": adaptation["probe"], "full": adaptation["tune"]}
    study = write_study(matrix={**short_matrix, "adaptation": renamed})
    done = fairfm("sweep", "run", study, "--results", results, "--cpus", 1)
    assert done.returncode == 0, done.stderr
    assert fairfm("track", "sync", results).returncode == 0
    assert len(runs(database(results))) == 8


@pytest.fixture
def server(
    finished: Finished,
) -> Iterator[str]:
    """`fairfm ui` on a free port of the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*warm_fairfm(), "ui", "--results", str(finished[1])]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail("fairfm ui did not start")


def test_the_ui_serves_the_runs(server: str) -> None:
    found = runs(server)
    assert sorted(run.info.run_name for run in found) == NAMES


def test_a_store_of_another_schema_is_refused(
    write_study: WriteStudy, tmp_path: Path, fairfm: Fairfm
) -> None:
    store: ArtifactStore = open_store(str(tmp_path / "results"))
    store.write_json({"schema": 99}, "fairfm.json")
    done = fairfm("sweep", "run", write_study(), "--results", tmp_path / "results")
    assert done.returncode == 2
    assert done.stderr.startswith("error: results folder")
    assert "schema version 99" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": [0]}, "did you mean 'seeds'"),
        ({"objectives": [{"metric": "test/auc", "goal": "maximize"}]}, "validation"),
        ({"resources": {"cpus": 10_000}}, "asks for 10000 CPU on one node"),
        (
            {"matrix": {**STUDY["matrix"], "backbone.name": ["test_convnexd"]}},
            "did you mean 'test_convnext",
        ),
    ],
)
def test_bad_studies_end_before_anything_starts(
    write_study: WriteStudy, tmp_path: Path, fairfm: Fairfm, changes: dict[str, Any], message: str
) -> None:
    done = fairfm("sweep", "run", write_study(**changes), "--results", tmp_path / "results")
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "results" / "adapt").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that fills up in mid-sweep."""
    target = tmp_path / "disk"
    target.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1700k", "tmpfs", str(target)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)  # SQLite may still hold it


@pytest.mark.chaos
@pytest.mark.slow
def test_a_disk_that_fills_up_ends_in_one_line_and_loses_nothing(
    long_finished: Finished, small_disk: Path, fairfm: Fairfm
) -> None:
    study, whole, _ = long_finished
    results = small_disk / "results"
    full = fairfm("sweep", "run", study, "--results", results)
    assert full.returncode == 2, full.stdout + full.stderr
    assert len(full.stderr.splitlines()) == 1, full.stderr
    assert "No space left on device" in full.stderr
    assert "same command again" in full.stderr
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    done = fairfm("sweep", "run", study, "--results", results, "--cpus", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert predictions(results) == predictions(whole)
    assert {run.info.status for run in runs(database(results))} == {"FINISHED"}
