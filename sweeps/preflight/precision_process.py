"""The process that measures precisions before a study begins, to spare the driver torch.

It reads questions as a pickle from its standard input and prints their answers as JSON.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from os import environ, pathsep

from fairfm_core.config.frozen import Precision
from fairfm_core.config.trial import Trial
from sweeps.planning.study import Resources
from sweeps.preflight.machine import may_have_gpus
from sweeps.status.network_questions import Question
from sweeps.status.precision import AUTO, chosen, gain_questions

SECONDS = 600.0
"""After which nothing is chosen."""


def precision_here(
    trials: Sequence[Trial], asked: Resources, say: Callable[[str], None]
) -> Precision:
    """The precision for all networks of a study that begins on this machine; `auto`: by device.

    Lines for the user go to `say`: a measurement takes seconds, and changes what is computed.
    """
    on_gpus = may_have_gpus() if asked.gpus is None else asked.gpus > 0
    questions = [] if on_gpus else gain_questions(trials)
    if not questions:
        return AUTO
    gains = _gains(questions, say)
    precision = chosen(gains)
    if gains:
        taken = "fp32" if precision == AUTO else precision
        say(
            f"precision: {taken}; bf16 is {min(gains):.2g} times as fast as fp32 on this processor "
            "(`precision` in the study decides otherwise)"
        )
    return precision


def _gains(questions: Sequence[Question], say: Callable[[str], None]) -> list[float]:
    """The answers: kept ones, else measured in another process; none if that fails."""
    if all(question.is_known() for question in questions):
        return [float(question.answer()) for question in questions]
    say("measuring how fast each network is in bf16 and fp32 here; the answer is kept")
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "sweeps.preflight.precision_process"],
            input=pickle.dumps(list(questions)),
            capture_output=True,
            env=environ | {"PYTHONPATH": pathsep.join(filter(None, sys.path))},
            timeout=SECONDS,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        lines = (error.stderr or b"").decode(errors="replace").split("\n")
        why = next((line for line in reversed(lines) if line.strip()), type(error).__name__)
        say(f"precision: fp32, because the measurement has failed ({why.strip()})")
        return []
    return [float(each) for each in json.loads(ended.stdout.splitlines()[-1])]


if __name__ == "__main__":
    print(json.dumps([question.answer() for question in pickle.load(sys.stdin.buffer)]))
