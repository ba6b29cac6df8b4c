"""A process that has imported what `fairfm` needs, and forks for each command.

Most of a short command is imports. From `main` on a fork does what a process of its own would do.
A fork of it imports the tests too and forks for each process that runs tests (`collected.py`).
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
BY_PIPE = {"RAY_enable_pipe_based_agent_to_parent_health_check": "1"}
"""Agents of a raylet see its end by a pipe, as a fork is no child of the raylet."""
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
    *(
        "ray.dashboard.dashboard",
        "ray.dashboard.agent",
        "ray.dashboard.modules.reporter.reporter_agent",
    ),
    *("ray._private.log_monitor", "ray.autoscaler._private.monitor"),
    *("ray._private.runtime_env.agent.runtime_env_agent",),
    *("fairfm_core.commands.data", "fairfm_core.commands.model"),
    *("fairfm_core.training.adapt_stage", "fairfm_core.training.pretraining.stage"),
]
COLLECTED = Path(__file__).with_name("collected.py")
ROOT = Path(__file__).parents[2]
PACKAGES = ("fairfm_core", "sweeps", "analysis")
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
                    return _prepare(client)
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
    _take_packages(Path(told["environment"].get("PYTHONPATH", "").partition(os.pathsep)[0]))


def _take_packages(source: Path) -> None:
    """Import our packages anew, where what is to run has others than those of this checkout."""
    if source not in (Path(), ROOT) and (source / "sweeps").is_dir():
        for name in [each for each in sys.modules if each.partition(".")[0] in PACKAGES]:
            del sys.modules[name]
        sys.path.insert(0, str(source))


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


def warm_children(place: Path) -> None:
    """Have what this process starts, the check of networks, Ray's services and its workers, forked
    too."""
    from sweeps.preflight import network_process

    os.environ.update(BY_PIPE)
    read_environment_again()
    os.environ[WARM] = str(place)
    client = [sys.executable, "-I", "-S", str(Path(__file__).with_name("client.py")), str(place)]
    network_process.COMMAND = (*client, network_process.__file__)
    _warm_workers()
    _warm_services(client)


def read_environment_again() -> None:
    """Ray has read that of the process that was forked."""
    from ray._raylet import AuthenticationTokenLoader, Config

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _warm_workers() -> None:
    """Have Ray start its workers by `worker.py`."""

    def given(parameters: RayParams, **values: object) -> None:
        if "setup_worker_path" in values:
            values["setup_worker_path"] = str(Path(__file__).with_name("worker.py"))
        absent(parameters, **values)

    from ray._private.parameter import RayParams

    absent = RayParams.update_if_absent
    RayParams.update_if_absent = given


def _warm_services(client: list[str]) -> None:
    """Have Ray's services written in Python, and the agents that a raylet starts, forked."""

    def forked(command: list[str], *options: object, **named: object) -> object:
        if command[0] == sys.executable:
            command = [*client, *(word for word in command[1:] if word != "-u")]
        agents = [
            word.replace(f"={' '.join(python)} ", f"={' '.join(client)} ") for word in command
        ]
        return start(agents, *options, **named)

    from ray._private import services

    python = [sys.executable, "-u"]  # as the command of a raylet has it for each of its agents
    start = services.start_ray_process
    services.start_ray_process = forked


def run() -> int:
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


def leave(code: int) -> NoReturn:
    """End as the interpreter does, without taking apart all modules, which takes seconds."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    os.environ.update(BY_PIPE)
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # a collection would copy the memory that all forks share
    place = Path(sys.argv[1])
    next_command(place, int(sys.argv[2]))
    if Path(sys.argv[0]) != COLLECTED:  # Rays that tests themselves start are as a user's
        warm_children(place)
    leave(run())
