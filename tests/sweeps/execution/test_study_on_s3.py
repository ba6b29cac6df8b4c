"""A whole study whose data and results are on a real S3 server with faults.

Nothing is lost, nothing is done twice, and the numbers are those of a local run, bit for bit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairfm_core.data.node_copy import upload

from ...chaos.commands import quick_run
from ...s3_server import BUCKET, FaultyS3, s3_server
from ..conftest import STUDY, Fairfm
from .test_runner import epochs_of, predictions, runs

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PROBE_EPOCHS, EPOCHS = 3, 18
RESULTS = f"s3://{BUCKET}/results"
"""Each test has a folder in it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyS3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="module")
def values(server: FaultyS3, phantom_folder: Path) -> dict[str, Any]:
    """A probe and a fine-tuning on data that are on the server."""
    place = f"s3://{BUCKET}/phantom"
    upload(phantom_folder, place)
    base = STUDY["base"] | {"data": {**STUDY["base"]["data"], "dataset": place}}
    matrix = {"adaptation": STUDY["matrix"]["adaptation"]}
    return {**STUDY, "base": base, "matrix": matrix, "seeds": [0], "resources": {"cpus": 1}}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> dict[str, bytes]:
    """The predictions of the same study with results on a disk."""
    folder: Path = tmp_path_factory.mktemp("local")
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    ran = quick_run(folder)
    assert ran.code == 0, ran.output
    return predictions(folder / "results")


class Sweep:
    """`fairfm sweep run` in the background."""

    def __init__(self, folder: Path, values: dict[str, Any], results: str, *more: str) -> None:
        study = folder / f"{values['study']}.yaml"
        study.write_text(yaml.safe_dump(values))
        self.uri = f"sqlite:///{folder}/{values['study']}.db"
        command = [sys.executable, "-m", "sweeps", "sweep", "run", str(study)]
        self.process = subprocess.Popen(
            [*command, "--results", results, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=os.environ | {"MLFLOW_TRACKING_URI": self.uri},
        )

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Return when it has happened; the run must not have ended before."""
        while not happened():
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.02)

    def end(self) -> str:
        """What it has printed; it must have ended well."""
        printed, _ = self.process.communicate()
        assert self.process.returncode == 0, printed
        return printed


def markers(faulty: FaultyS3) -> dict[str, int]:
    """How many different `done` markers were written for each stage."""
    return {p: len(each) for p, each in faulty.written.items() if p.endswith("/done")}


def check(faulty: FaultyS3, results: str, local: dict[str, bytes], uri: str) -> None:
    """Nothing is lost, nothing was done twice, and the numbers and MLflow's runs are right."""
    assert predictions(results) == local
    assert len(markers(faulty)) == 5
    assert set(markers(faulty).values()) == {1}
    found = runs(uri)
    assert {run.info.run_name: run.info.status for run in found} == {
        "probe.s0": "FINISHED",
        "tune.s0": "FINISHED",
    }
    assert all("test/auc" in run.data.metrics for run in found)
    told = epochs_of(found, uri)
    assert len(told) == len(set(told)) == PROBE_EPOCHS + EPOCHS


def started(faulty: FaultyS3) -> bool:
    """Whether a stage is done, and so another one at work."""
    return bool(markers(faulty))


@pytest.mark.chaos
def test_an_outage_in_mid_run_loses_nothing(
    server: FaultyS3,
    values: dict[str, Any],
    local: dict[str, bytes],
    tmp_path: Path,
    fairfm: Fairfm,
) -> None:
    server.heal()
    sweep = Sweep(tmp_path, values, f"{RESULTS}/short", "--cpus", "2")
    sweep.wait_until(lambda: started(server))
    with server.away(4):
        server.storm = 3
    sweep.wait_until(lambda: server.refused > 10)
    server.storm = 0
    printed = sweep.end()
    check(server, f"{RESULTS}/short", local, sweep.uri)
    assert f"wrote {RESULTS}/short/studies/small/front.csv" in printed
    assert f"report: {RESULTS}/short/studies/small/report.html" in printed

    def said(*command: str) -> str:
        ran = fairfm(*command)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    study = tmp_path / "small.yaml"
    assert "2 of 2 done, 0 failed" in said(
        "sweep", "status", study, "--results", f"{RESULTS}/short"
    )
    assert "5 finished stages read: 0 faults" in said("results", "check", f"{RESULTS}/short")
    other = f"sqlite:///{tmp_path}/other.db"
    assert "2 of 2 trials" in said("track", "sync", f"{RESULTS}/short", "--uri", other)
    assert {run.info.status for run in runs(other)} == {"FINISHED"}


@pytest.mark.chaos
@pytest.mark.parametrize(
    "faults",
    [{"outage": 20}, {"storm": 4}, {"delay": 0.3}, {"cut_uploads": 12, "cut_downloads": 12}],
)
def test_whatever_happens_the_numbers_are_those_of_a_local_run(
    server: FaultyS3,
    values: dict[str, Any],
    local: dict[str, bytes],
    tmp_path: Path,
    faults: dict[str, float],
) -> None:
    server.heal()
    results = f"{RESULTS}/{'-'.join(faults)}"
    sweep = Sweep(tmp_path, values, results, "--cpus", "2")
    sweep.wait_until(lambda: started(server))
    with server.away(faults.pop("outage", 0.1)):
        for name, value in faults.items():
            setattr(server, name, value)
    sweep.end()
    server.storm, server.delay = 0, 0.0
    check(server, results, local, sweep.uri)


@pytest.mark.chaos
def test_two_drivers_never_run_one_stage(
    server: FaultyS3, values: dict[str, Any], local: dict[str, bytes], tmp_path: Path
) -> None:
    server.heal()
    results = f"{RESULTS}/two"
    one = Sweep(tmp_path, values, results, "--cpus", "1")
    two = Sweep(tmp_path, values | {"study": "other"}, results, "--cpus", "1")
    one.end()
    two.end()
    check(server, results, local, one.uri)
    assert predictions(results, "other") == local
    assert {run.info.status for run in runs(two.uri, "other")} == {"FINISHED"}


@pytest.mark.chaos
def test_an_outage_without_end_stops_the_run_and_the_same_command_resumes(
    server: FaultyS3,
    values: dict[str, Any],
    local: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.heal()
    results = f"{RESULTS}/long"
    with monkeypatch.context() as patch:
        patch.setenv("FAIRFM_STORE_PATIENCE", "5")
        sweep = Sweep(tmp_path, values, results, "--cpus", "2")
        sweep.wait_until(lambda: started(server))
        server.close()
        printed, _ = sweep.process.communicate()
    server.open()
    assert sweep.process.returncode == 2, printed
    (line,) = [each for each in printed.splitlines() if each.startswith("error: ")]
    assert "the run has stopped, because files can no longer be read or written (S3 at" in line
    assert "Traceback" not in printed
    again = Sweep(tmp_path, values, results, "--cpus", "2")
    again.end()
    check(server, results, local, again.uri)
