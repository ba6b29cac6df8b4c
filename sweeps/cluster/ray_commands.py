"""Ray's own commands for clusters, with their output in plain lines and their failures in one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import TextIO

from fairfm_core.errors import BadInput
from sweeps.cluster.description import ClusterDescription

ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONUNBUFFERED": "1"}
AUTOSCALER = "RAY_UP_enable_autoscaler_v2"
"""Ray's switch between its two autoscalers; version 2 loses workers of provider local."""
PLAIN = ("--log-style", "pretty", "--log-color", "false")
LOG_LINE = re.compile(r"^\s*(?:\x1b\[[0-9;]*m)*\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\s+\w+ \S+ -- ")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CHATTER = re.compile(
    r"Shared connection to |Warning: Permanently added|bash: .*\.bashrc: No such file"
    r"|Token authentication is disabled|network_util\.cc|New status: |Fetched IP: |Running `uptime"
    r"|Loaded cached provider|If you experience issues with|the cloud provider, try re-running"
)
"""Lines that say nothing to a user."""
ADVICE = re.compile(r"^\s*(?:Next steps$|Useful commands for your local|!!!$|-{10,}$)")
"""Where Ray begins to advise its own commands, or to print a traceback."""
NEXT = re.compile(r"^\s*(?:Ray runtime started|<\d+/\d+> |\[\d[-\d]*/\d\] |Failed to setup)")
"""Where it goes on."""
END = "Failed to setup head node"
STEP = re.compile(r"^\(\d+/\d+\) (.+)$")
"""A setup command that begins."""
RAY = (sys.executable, "-m", "ray.scripts.scripts")


def run_shown(arguments: Sequence[str], cluster: ClusterDescription, out: TextIO) -> None:
    """Run a command of Ray, showing what it says in `out`; raises BadInput when it fails."""
    said: list[str] = []
    muted = False
    with subprocess.Popen(
        [*RAY, *arguments, *PLAIN],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(cluster),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            text = told(line)
            muted = bool(ADVICE.match(text)) or (muted and not NEXT.match(text))
            if text and not muted:
                said.append(text.strip())
                print(f"  {text}", file=out, flush=True)
    if process.returncode:
        raise BadInput(
            f"`ray {arguments[0]}` failed for {cluster.path}: {reason_of(said)}; correct that and "
            "run the same command again"
        )


def run_quiet(arguments: Sequence[str], cluster: ClusterDescription) -> tuple[bool, list[str]]:
    """Run a command of Ray; returns whether it succeeded, and what it said."""
    done = subprocess.run(
        [*RAY, *arguments, *PLAIN],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=_environment(cluster),
    )
    return done.returncode == 0, [text for line in done.stdout.splitlines() if (text := told(line))]


def told(line: str) -> str:
    """A line without its colours; empty for one that says nothing to a user."""
    if LOG_LINE.match(line):
        return ""
    plain = COLOUR.sub("", line).rstrip()
    return "" if CHATTER.search(plain) else plain


def reason_of(said: Sequence[str]) -> str:
    """Why a command of Ray has failed, from the lines that it printed."""
    reason, command = "no reason was given", ""
    for line in map(str.strip, said):
        if line.startswith(END):
            break
        if found := STEP.match(line):
            reason, command = "no reason was given", f" (in the setup command {found[1]!r})"
        elif NEXT.match(line):
            reason, command = line, ""
        elif line:
            reason = line
    return reason + command


def _environment(cluster: ClusterDescription) -> dict[str, str]:
    return os.environ | ENVIRONMENT | {AUTOSCALER: "0" if cluster.is_local else "1"}
