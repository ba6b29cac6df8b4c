"""A cap ends a run cleanly; with a higher one the same command goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ..conftest import STUDY, Fairfm

pytestmark = pytest.mark.ray


def test_a_run_ends_at_a_cap_and_goes_on_with_a_higher_one(
    tmp_path: Path, study_values: dict[str, Any], fairfm: Fairfm
) -> None:
    probe = {"probe": STUDY["matrix"]["adaptation"]["probe"]}
    matrix = {"adaptation": probe, "data.sampling": ["standard", "balanced"]}
    path, results = tmp_path / "study.yaml", tmp_path / "results"

    def run(caps: dict[str, Any], *options: str) -> str:
        path.write_text(yaml.safe_dump({**study_values, "matrix": matrix, "caps": caps}))
        done = fairfm("sweep", "run", path, "--results", results, "--cpus", 1, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    ended = run({"max_hours": 1e-6})
    assert "0 of 4 trials done" in ended
    assert "ended early: caps.max_hours of 1e-06 is reached" in ended
    assert "left for later: 4 of 4 trials" in ended
    part = run({"max_trials": 3}, "--only", "standard")
    assert "2 of 4 trials done" in part
    assert "left for later: 2 of 4 trials" in part
    full = run({"max_trials": 2})
    assert "ended early: caps.max_trials of 2 is reached" in full
    assert "2 of 4 trials done" in full
