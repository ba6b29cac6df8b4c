"""Running `fairfm`: as a user does, or in a fork of a process that has loaded everything.

A fork takes a tenth of a second where a new process imports for five, which makes hundreds of
faults possible. `quick_run` is `fairfm sweep run` without MLflow and report, and with Ray replaced
by a loop over the jobs: plan, checks, stages, store and front are the product's own.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]
PRELOADED = [
    *("torch", "timm", "pandas", "matplotlib.figure", "pyarrow.parquet", "numba", "scipy.stats"),
    *("sweeps.commands.sweep", "sweeps.commands.results", "analysis.commands.study"),
    *("sweeps.execution.runner", "sweeps.status.status", "sweeps.upkeep.faults"),
    *("analysis.front.outputs", "analysis.report.page", "fairfm_core.commands.data"),
    *("fairfm_core.training.adapt_stage", "fairfm_core.training.pretraining.stage"),
]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(PRELOADED)
RESUMED = "resumed.json"
"""Written by `quick_run`: the hash of the checkpoint that each training went on from, or null."""
PATIENCE = 900.0
"""Seconds after which a command counts as stuck."""
STUCK = -99
"""Exit code of a command that was stuck."""


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    command: str
    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def output(self) -> str:
        """Everything that it printed."""
        return self.stdout + self.stderr


def fairfm(folder: Path, *arguments: str, setup: Callable[[], None] | None = None) -> Ran:
    """`fairfm` with these arguments, in a fork; `setup` is called in it first."""
    return in_fork(_command_line, folder, arguments, setup)


def quick_run(folder: Path, setup: Callable[[], None] | None = None) -> Ran:
    """`fairfm sweep run study.yaml` without Ray and MLflow."""
    return in_fork(run_jobs_here, folder, setup)


def real_run(folder: Path, environment: Mapping[str, str] | None = None) -> Ran:
    """`fairfm sweep run study.yaml` as a user gives it."""
    began = time.monotonic()
    with start(folder, environment) as process:
        return ended(process, began)


def ended(process: subprocess.Popen[str], began: float) -> Ran:
    """What became of a run that `start` began at this time; one that is stuck is killed."""
    try:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return Ran("sweep run", STUCK, *process.communicate(), PATIENCE)
    return Ran("sweep run", process.returncode, stdout, stderr, time.monotonic() - began)


def start(folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The same in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "sweeps", "sweep", "run", "study.yaml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
    )


def in_fork(target: Callable[..., None], folder: Path, *arguments: Any) -> Ran:
    """Call `target` in a fork whose working directory is `folder`."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        out, err = Path(scratch, "out"), Path(scratch, "err")
        here = dict(os.environ)  # the server's own is that of its start
        process = FORKS.Process(target=_forked, args=(target, folder, out, err, here, arguments))
        process.start()
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
            code = STUCK
        else:
            code = process.exitcode or 0
        told = [path.read_text(errors="replace") if path.exists() else "" for path in (out, err)]
    return Ran(_name(target, arguments), code, *told, time.monotonic() - began)


def _name(target: Callable[..., None], arguments: tuple[Any, ...]) -> str:
    if target is _command_line:
        return " ".join(arguments[0])
    return target.__name__.strip("_")


def _forked(
    target: Callable[..., None],
    folder: Path,
    out: Path,
    err: Path,
    environment: Mapping[str, str],
    arguments: tuple[Any, ...],
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, err)):
        handle = os.open(path, os.O_CREAT | os.O_WRONLY)
        os.dup2(handle, number)
    try:
        target(*arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _command_line(arguments: tuple[str, ...], setup: Callable[[], None] | None) -> None:
    import sweeps.cli

    if setup is not None:
        setup()
    sys.argv = ["fairfm", *arguments]
    sweeps.cli.main()


def run_jobs_here(setup: Callable[[], None] | None) -> None:
    """`quick_run` in this process."""
    from sweeps.execution import runner
    from sweeps.found import section

    section.write_study_report = lambda *arguments: "none, it takes a second"
    runner._run_missing = _run_jobs  # type: ignore[assignment]
    runner._nothing_to_run = _only_record  # type: ignore[assignment]
    _record_checkpoints()
    _command_line(("sweep", "run", "study.yaml"), setup)


def _only_record(before: Any, store: Any, *rest: Any) -> SimpleNamespace:
    from sweeps.execution import runner

    runner._write_record(before.plan, store)
    return SimpleNamespace(experiment=None, degraded="MLflow is left out")


def _run_jobs(run: Any, store: Any, *rest: Any) -> tuple[SimpleNamespace, None]:
    """Every missing job in this process, inputs first, with the failures of a worker."""
    from fairfm_core.errors import BadInput, StageFailed
    from fairfm_core.training.device import make_deterministic
    from sweeps.execution.jobs import make_jobs

    make_deterministic(1)
    before = run.whole
    tracker = _only_record(before, store)
    jobs, done = make_jobs(before.plan.stages, before.missing), set(before.done)
    while ready := [job for job in jobs.values() if job.inputs <= done]:
        for job in ready:
            del jobs[job.name]
            try:
                _run_job(job, store)
                done |= {stage.fingerprint for stage in job.stages}
            except (BadInput, StageFailed) as error:
                for stage in job.wanted:
                    store.record_failure(stage.fingerprint, str(error))
    return tracker, None


def _run_job(job: Any, store: Any) -> None:
    from fairfm_core.running import run_stage, run_together

    if len(job.stages) == 1:
        run_stage(job.stages[0], store, lambda row: None)
    else:
        run_together(job.stages, store, lambda rows: None)


def _record_checkpoints() -> None:
    """From now on, note in `RESUMED` which checkpoint each training goes on from."""
    from fairfm_core.artifacts import ArtifactStore

    read, resumed = ArtifactStore.latest_checkpoint, dict[str, str | None]()

    def noted(store: ArtifactStore, fingerprint: str) -> bytes | None:
        content = read(store, fingerprint)
        resumed[fingerprint] = content and hashlib.sha256(content).hexdigest()[:16]
        Path(RESUMED).write_text(json.dumps(resumed))
        return content

    ArtifactStore.latest_checkpoint = noted  # type: ignore[method-assign]


def interrupted_after(fingerprint: str, saves: int) -> None:
    """Run a stage of the study and stop it after this many checkpoints."""
    from fairfm_core.artifacts import ArtifactStore, open_store
    from fairfm_core.running import run_stage
    from fairfm_core.training import checkpoint
    from fairfm_core.training.device import make_deterministic
    from sweeps.planning.plan import make_plan
    from sweeps.planning.study import read_study

    checkpoint.CHECKPOINT_SECONDS, checkpoint.SAVING_SHARE = 0.0, 1e9
    make_deterministic(1)
    save, left = ArtifactStore.save_checkpoint, iter(range(saves - 1))

    def counted(*arguments: Any) -> None:
        save(*arguments)
        if next(left, None) is None:
            raise KeyboardInterrupt

    ArtifactStore.save_checkpoint = counted  # type: ignore[method-assign]
    stage = make_plan(read_study(Path("study.yaml"))).stages[fingerprint]
    with suppress(KeyboardInterrupt):
        run_stage(stage, open_store("results"), lambda row: None)
