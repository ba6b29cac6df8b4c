"""What a job's last report says of errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.errors import GpuUnusable, Leaving, StageFailed
from fairfm_core.stages import Stage
from sweeps.execution import trainable
from sweeps.execution.events import _why_lost
from sweeps.execution.jobs import Job
from sweeps.execution.stage_scheduler import FAILED, STOPS, StageSearcher

STAGE = Stage("features", {}, "", "")


LastReport = Callable[[Exception], dict[str, Any]]


@pytest.fixture
def report_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LastReport:
    """The last report of a stage that meets an error."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # which a job changes

    def met(error: Exception) -> dict[str, Any]:
        def fail(*arguments: object) -> None:
            raise error

        reports: list[dict[str, Any]] = []
        monkeypatch.setattr(trainable, "run_stage", fail)
        monkeypatch.setattr(trainable, "_prepare_process", lambda bundle: None)
        monkeypatch.setattr(trainable.tune, "report", reports.append)
        trainable.run_as_trial(
            {"job": "x"}, {"x": Job((STAGE,), (STAGE,))}, str(tmp_path), {"x": {"CPU": 1.0}}
        )
        return reports[-1]

    return met


@pytest.fixture
def last_report(report_of: LastReport) -> dict[int, dict[str, Any]]:
    """The report of a stage that meets an error of the system, by the error's number."""

    class Reports(dict[int, dict[str, Any]]):
        def __missing__(self, number: int) -> dict[str, Any]:
            return report_of(OSError(number, os.strerror(number), "features/x"))

    return Reports()


def test_no_other_stage_is_tried_where_a_gpu_cannot_be_used(report_of: LastReport) -> None:
    reason = "Ray offers GPUs on node 10.0.0.3 (gpu7), where torch finds none"
    assert report_of(GpuUnusable(reason)) == {FAILED: reason, STOPS: reason}


@pytest.mark.parametrize("kind", [OSError, StageFailed, KeyError])
def test_a_reason_shows_no_password(
    report_of: LastReport, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: type[Exception]
) -> None:
    report = report_of(kind("s3://key:hunter2@bucket/results?token=hunter2"))
    recorded = open_store(str(tmp_path)).failure(STAGE.fingerprint)
    for told in (report[FAILED], recorded, caplog.text):
        assert "hunter2" not in str(told)
    assert "s3://***@bucket" in report[FAILED]


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE"])
def test_no_other_stage_is_tried_on_a_disk_that_fails(
    last_report: dict[int, dict[str, Any]], name: str
) -> None:
    number = getattr(errno, name)
    report = last_report[number]
    assert os.strerror(number) in report[FAILED]
    assert report[STOPS] == f"files can no longer be read or written ({report[FAILED]})"
    job = Job((STAGE,), (STAGE,))
    searcher = StageSearcher({job.name: job, "other": job}, ())
    searcher.suggest("a")
    searcher.on_trial_complete("a", report)
    assert searcher.stopped == report[STOPS]
    assert searcher.suggest("b") == "FINISHED"


def test_a_missing_file_stops_one_stage_alone(last_report: dict[int, dict[str, Any]]) -> None:
    assert STOPS not in last_report[errno.ENOENT]


def test_who_leaves_says_so_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process then ends without a word, which Ray alone could not tell from a crash."""
    reports: list[dict[str, Any]] = []

    def stop(*arguments: object) -> None:
        raise Leaving

    def leave() -> None:
        raise SystemExit(75)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # which a job changes
    monkeypatch.setattr(trainable, "run_stage", stop)
    monkeypatch.setattr(trainable, "_prepare_process", lambda bundle: None)
    monkeypatch.setattr(trainable.tune, "report", reports.append)
    monkeypatch.setattr(trainable, "leave", leave)
    job = Job((STAGE,), (STAGE,))
    with pytest.raises(SystemExit):
        trainable.run_as_trial({"job": "x"}, {"x": job}, str(tmp_path), {"x": {"CPU": 1.0}})
    assert reports == [{trainable.LEAVES: True}]
    assert open_store(str(tmp_path)).failure(STAGE.fingerprint) is None
    lost: Any = SimpleNamespace(last_result=reports[0], error_file=None)
    assert _why_lost(lost) == "its node or process was asked to go; its last step is saved"
