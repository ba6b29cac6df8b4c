"""Halving by smaller training runs inside a run: trained for real, killed, and decided the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairfm_core.artifacts import open_store

from ..conftest import Fairfm

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.chaos]

VIT = {
    "name": "vit_tiny_patch16_224",
    "image_size": 32,
    "channels": 1,
    "options": {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3},
}
"""Takes images of any multiple of 8 pixels; the other tests' network none below 32."""
HALVINGS = {
    "image_size": {"eta": 2, "fidelity": "image_size", "rungs": [16, 24]},
    "fraction": {"eta": 2, "fidelity": "fraction", "rungs": [0.25, 0.5]},
}


def write_halved(folder: Path, values: dict[str, Any], fidelity: str) -> Path:
    """Write a study of six fine-tunings, halved by smaller training runs."""
    tune = {"method": "end_to_end", "recipe": "smoke", "epochs": 1}
    search = {
        "configurations": 6,
        "batch": 3,
        "sampler": "random",
        "parameters": {"adaptation.base_lr": {"low": 1e-4, "high": 1e-2, "log": True}},
        "halving": HALVINGS[fidelity],
    }
    base = {**values["base"], "backbone": VIT, "adaptation": tune}
    study = {**values, "study": "halved", "base": base, "matrix": {}, "seeds": [0]}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**study, "search": search}))
    return path


def journal(results: Path) -> Path:
    return results / "studies/halved/search.jsonl"


def trained(results: Path) -> dict[float, int]:
    """How many finished training runs there are at each rung; 0 for whole ones."""
    store, counts = open_store(str(results)), dict[float, int]()
    study = json.loads((results / "studies/halved/study.json").read_text())
    rung_of = {
        run: line["rung"]["rung"]
        for line in map(json.loads, journal(results).read_text().splitlines())
        if "rung" in line
        for run in line["rung"]["trainings"]
    }
    of_trials = [[*trial["smaller"], trial["adapt"]] for trial in study["trials"]]
    for fingerprint in dict.fromkeys(each for runs in of_trials for each in runs):
        if store.is_done("adapt", fingerprint):
            rung = rung_of.get(fingerprint, 0)
            counts[rung] = counts.get(rung, 0) + 1
    return counts


@pytest.mark.parametrize("fidelity", HALVINGS)
def test_few_grow_and_a_killed_search_decides_the_same(
    fidelity: str, study_values: dict[str, Any], tmp_path: Path, fairfm: Fairfm
) -> None:
    study = write_halved(tmp_path, study_values, fidelity)
    done = fairfm("sweep", "run", study, "--results", tmp_path / "whole", "--cpus", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "paused by the search at " in done.stdout
    first, second = HALVINGS[fidelity]["rungs"]  # type: ignore[misc]
    counts = trained(tmp_path / "whole")
    assert counts[first] == 6
    assert counts[0] < counts[second] < 6
    assert f"{counts[0]} of 6 trials done" in done.stdout

    run = ["sweep", "run", str(study), "--results", str(tmp_path / "killed"), "--cpus", "1"]
    command = [sys.executable, "-m", "sweeps", *run]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    path = journal(tmp_path / "killed")
    while not (path.exists() and '"promoted"' in path.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert path.read_text() == journal(tmp_path / "whole").read_text()
    assert trained(tmp_path / "killed") == counts
