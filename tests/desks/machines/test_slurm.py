"""The recipe for SLURM in docs/how-to/machines.md, under a scheduler that only sends signals."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.snapshot import take_snapshot

from ...sweeps.execution.test_runner import wait_until
from ...warm.starting import warm_fairfm
from ..conftest import WriteStudy

RECIPE = Path(__file__).parents[3] / "docs/how-to/machines.md"
JOB = "7"
SCHEDULER = {
    "srun": '#!/bin/bash\nshift\necho $$ > "$FAKE/step"\nexec "$@"\n',
    "scontrol": '#!/bin/bash\necho "$@" >> "$FAKE/requeued"\n',
}
"""Commands of the scheduler."""
NEW = (sys.executable, "-m", "sweeps")
"""The console script in a new process."""


def submit(folder: Path, fairfm: Sequence[str]) -> subprocess.Popen[str]:
    """The recipe as SLURM's batch script, with the words that start the console script."""
    (script,) = re.findall(r"```sh slurm\n(.*?)```", RECIPE.read_text(), re.DOTALL)
    (folder / "job.sh").write_text(script)
    start = f'#!/bin/bash\nexec {shlex.join(fairfm)} "$@"\n'
    for name, text in (SCHEDULER | {"fairfm": start}).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "FAKE": str(folder),
        "SLURM_JOB_ID": JOB,
        "SLURM_CPUS_PER_TASK": "1",
        "STUDY": "study.yaml",
        "RESULTS": "results",
    }
    return subprocess.Popen(
        ["bash", "job.sh"],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def warn(step: int, number: signal.Signals) -> None:
    """The signal to every process of the step, as SLURM sends it."""
    process = psutil.Process(step)
    for each in [process, *process.children(recursive=True)]:
        each.send_signal(number)


def checkpoints(results: Path) -> Mapping[str, object]:
    """The whole checkpoints of unfinished stages."""
    return take_snapshot(open_store(str(results))).checkpoints


@pytest.mark.ray
@pytest.mark.slow
def test_a_job_whose_time_is_up_goes_on_in_another(write_study: WriteStudy, tmp_path: Path) -> None:
    tune = {"method": "end_to_end", "recipe": "smoke", "epochs": 8}
    write_study({"matrix/adaptation": {"tune": tune}})
    results = tmp_path / "results"

    job = submit(tmp_path, NEW)
    wait_until(lambda: bool(checkpoints(results)), job)
    warn(int((tmp_path / "step").read_text()), signal.SIGUSR1)
    printed, _ = job.communicate()
    assert job.returncode == 138, printed
    assert printed.count("error: ") == 1, printed
    assert "interrupted; finished work is kept" in printed
    assert (tmp_path / "requeued").read_text() == f"requeue {JOB}\n"

    begun = checkpoints(results)
    assert begun
    job = submit(tmp_path, warm_fairfm())
    printed, _ = job.communicate()
    assert job.returncode == 0, printed
    assert "1 of 1 trials done" in printed
    assert (tmp_path / "requeued").read_text() == f"requeue {JOB}\n"
    (trained,) = begun
    assert trained in take_snapshot(open_store(str(results))).done
