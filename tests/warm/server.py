"""A process that has imported what `fairfm` needs, and forks for each command.

Most of a short command is imports. From `main` on a fork does what a process of its own would do.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

WARM = "FAIRFM_TESTS_WARM"
"""Environment variable of the place, for the workers of Ray."""
PRELOADED = [
    *("torch", "timm", "pandas", "matplotlib.figure", "matplotlib.backends.backend_pdf"),
    *("matplotlib.backends.backend_svg", "fontTools.subset", "pyarrow.parquet", "numba"),
    *("scipy.stats", "mlflow.store.tracking.sqlalchemy_store", "ray.tune"),
    *("sweeps.commands.sweep", "sweeps.commands.results", "sweeps.commands.track"),
    *("sweeps.commands.search", "analysis.commands.study", "analysis.commands.evaluate"),
    *("analysis.commands.ensemble", "analysis.front.outputs", "analysis.report.page"),
    *("sweeps.execution.runner", "sweeps.execution.tuning", "sweeps.status.status"),
    *("sweeps.execution.trainable", "sweeps.execution.data_parallel", "ray.train.torch"),
    *("sweeps.ray_session.session", "sweeps.upkeep.faults", "sweeps.tracking.runs"),
    *("fairfm_core.commands.data", "fairfm_core.commands.model"),
    *("fairfm_core.training.adapt_stage", "fairfm_core.training.pretraining.stage"),
]
LOOK_SECONDS = 5.0
"""Between two looks at whether the tests have ended."""


def next_command(place: Path, tests: int) -> None:
    """Serve at `place` until it is gone or the process `tests` has ended.

    Returns only in a fork, which is to run the command that was asked for.
    """
    with socket.socket(socket.AF_UNIX) as listening:
        beginning = place.with_suffix(".new")
        listening.bind(str(beginning))
        listening.listen()
        beginning.rename(place)
        listening.settimeout(LOOK_SECONDS)
        while place.exists() and Path(f"/proc/{tests}").exists():
            with suppress(TimeoutError), listening.accept()[0] as client:
                if os.fork() == 0:
                    _prepare(client)
                    return _warm_children(place)
            with suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
    sys.exit()


def _prepare(client: socket.socket) -> None:
    """Become the command's process; another answers the client when that has ended."""
    client.settimeout(None)
    _, files, _, _ = socket.recv_fds(client, 1, 3)
    told = json.loads(client.makefile().readline())
    if process := os.fork():
        for number in files:
            os.close(number)
        _answer(client, process)
    client.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    os.sched_setaffinity(0, told["cores"])
    sys.argv = told["arguments"]


def _answer(client: socket.socket, process: int) -> NoReturn:
    """Pass on the client's signals, and tell it how `process` ends; kill that once it is gone."""
    ended = os.pidfd_open(process)
    while ended not in select.select([ended, client], [], [])[0]:
        for number in client.recv(8) or [signal.SIGKILL]:
            os.kill(process, number)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with suppress(BrokenPipeError):
        client.sendall(str(code if code >= 0 else 128 - code).encode())
    os._exit(0)


def _warm_children(place: Path) -> None:
    """Have what this process starts, the check of networks and Ray its workers, forked too."""

    def given(parameters: RayParams, **values: object) -> None:
        if "setup_worker_path" in values:
            values["setup_worker_path"] = str(Path(__file__).with_name("worker.py"))
        absent(parameters, **values)

    from ray._private.parameter import RayParams
    from ray._raylet import AuthenticationTokenLoader, Config

    from sweeps.preflight import network_process

    Config.initialize("")  # Ray has read the environment of the process that was forked
    AuthenticationTokenLoader.instance().reset_cache()
    absent = RayParams.update_if_absent
    RayParams.update_if_absent = given
    os.environ[WARM] = str(place)
    client = str(Path(__file__).with_name("client.py"))
    here = (sys.executable, "-I", "-S", client, str(place), network_process.__file__)
    network_process.COMMAND = here


def _run() -> int:
    """Run the command as the console script does, or a script as Python does; its exit code."""
    from sweeps.cli import main

    try:
        if sys.argv[0] == "fairfm":
            main()
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _leave(code: int) -> None:
    """End as the interpreter does, without taking apart all modules, which takes seconds."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # a collection would copy the memory that all forks share
    next_command(Path(sys.argv[1]), int(sys.argv[2]))
    _leave(_run())
