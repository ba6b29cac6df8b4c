"""A damaged study: the same command makes its results again, to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import open_store

from ...damage import DAMAGES
from ..conftest import Fairfm, WriteStudy

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.chaos]


def tables(results: Path) -> dict[str, bytes]:
    """Predictions and evaluations by their path."""
    files = sorted([*results.glob("adapt/*/predictions/*"), *results.glob("evaluate/*/*.parquet")])
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in files}


def test_the_same_command_makes_good_what_was_damaged(
    tmp_path: Path, write_study: WriteStudy, study_values: dict[str, Any], fairfm: Fairfm
) -> None:
    probe = {"probe": study_values["matrix"]["adaptation"]["probe"]}
    study, results = write_study(matrix={"adaptation": probe}), tmp_path / "results"
    command = ("sweep", "run", study, "--results", results)
    assert fairfm(*command).returncode == 0
    before = tables(results)
    first, second = open_store(str(results)).read_json("studies", "small", "study.json")["trials"]
    DAMAGES["flip"](results / "adapt" / first["adapt"] / "predictions" / "test.parquet")
    DAMAGES["swap"](results / "evaluate" / second["evaluate"] / "evaluation.parquet")
    DAMAGES["flip"](results / "features" / first["features"] / "train.npy")
    status = fairfm("sweep", "status", study, "--results", results)
    assert "0 of 2 done, 0 failed, 2 damaged" in status.stdout
    shown = fairfm("pareto", results)
    assert shown.returncode == 2
    assert f"adapt/{first['adapt']} is damaged" in shown.stderr
    again = fairfm(*command)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"features/{first['features']} is damaged" in again.stdout
    assert "2 of 2 trials done" in again.stdout
    assert tables(results) == before
    assert fairfm("results", "check", results).returncode == 0
    record = results / "studies/small/study.json"
    written = record.read_bytes()
    record.write_bytes(written.replace(b'"seed": 0', b'"seed": 7', 1))
    shown = fairfm("pareto", results)
    assert shown.returncode == 2
    assert "study.json is damaged (it differs from what was stored)" in shown.stderr
    assert fairfm(*command).returncode == 0
    assert record.read_bytes() == written
