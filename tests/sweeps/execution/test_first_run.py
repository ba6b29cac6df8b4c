"""docs/first-run.md in small: real radiographs from files to a front."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from ..conftest import Fairfm

STUDIES = Path(__file__).parents[3] / "sweeps" / "studies"


@pytest.mark.ray
@pytest.mark.slow
def test_real_radiographs_end_in_a_front(shared_data: Path, tmp_path: Path, fairfm: Fairfm) -> None:
    source = shared_data / "nih_cxr1100"
    prepared = fairfm(
        "data", "prepare", "chestxray14", source, "--out", tmp_path / "nih", "--size", 48,
        "--fractions", 0.5, 0.2, 0.3,
    )  # fmt: skip
    assert prepared.returncode == 0, prepared.stderr
    assert "images: 1,075" in prepared.stdout
    assert "patients: 743" in prepared.stdout

    study = yaml.safe_load((STUDIES / "nih_first_run.yaml").read_text())
    study["base"]["data"]["dataset"] = str(tmp_path / "nih")
    study["base"]["backbone"]["image_size"] = 48
    study["matrix"]["backbone"].pop("byobnet")
    study["matrix"]["adaptation"]["tune"]["epochs"] = 1
    study["evaluation"] |= {"replicates": 100}
    study["seeds"] = [0]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    results = tmp_path / "results"
    done = fairfm("sweep", "run", tmp_path / "study.yaml", "--results", results, "--cpus", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 trials done" in done.stdout
    assert "age gap" in done.stdout
    report = (results / "studies/nih_first_run/report.html").read_text()
    assert "60+" in report
    shutil.rmtree(results)
