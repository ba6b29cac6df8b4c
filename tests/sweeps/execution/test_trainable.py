"""What a job's last report says of errors of the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.stages import Stage
from sweeps.execution import trainable
from sweeps.execution.jobs import Job
from sweeps.execution.stage_scheduler import FAILED, STOPS, StageSearcher

STAGE = Stage("features", {}, "", "")


@pytest.fixture
def last_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, Any]]:
    """The report of a stage that meets an error, by the error's number."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # which a job changes

    class Reports(dict[int, dict[str, Any]]):
        def __missing__(self, number: int) -> dict[str, Any]:
            def fail(*arguments: object) -> None:
                raise OSError(number, os.strerror(number), "features/x")

            reports: list[dict[str, Any]] = []
            monkeypatch.setattr(trainable, "run_stage", fail)
            monkeypatch.setattr(trainable, "_prepare_process", lambda bundle: None)
            monkeypatch.setattr(trainable.tune, "report", reports.append)
            trainable.run_as_trial(
                {"job": "x"}, {"x": Job((STAGE,), (STAGE,))}, str(tmp_path), {"x": {"CPU": 1.0}}
            )
            return reports[-1]

    return Reports()


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
