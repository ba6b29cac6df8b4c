"""What a local Ray has started is found by its token or its parent, and ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.ray_session.processes import TOKEN, RayProcesses

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux")

CHILD = """
import os, subprocess, sys
code = "import time; time.sleep(60)"
clean = {key: value for key, value in os.environ.items() if key != sys.argv[1]}
print(subprocess.Popen([sys.executable, "-c", code], env=clean).pid, flush=True)
import time; time.sleep(60)
"""
"""Starts a process that has no token, as those of Ray that overwrite their environment."""


def test_children_are_found_without_their_token_and_everything_is_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        processes = RayProcesses()
        command = [sys.executable, "-c", CHILD, TOKEN]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
            assert started.stdout is not None
            inner = int(started.stdout.readline())
            assert set(processes.find()) == {started.pid, inner}
            processes.end()
            assert processes.find() == []
        assert TOKEN not in os.environ
        assert stranger.poll() is None, "what was started before is left alone"
        stranger.kill()
