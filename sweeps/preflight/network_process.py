"""The process that checks a study's networks while a sweep starts.

It spares the driver torch's half a gigabyte and never outlives it. It is this module run as a
script (not `multiprocessing`, which would import the user's own script again). It reads what to
check as a pickle from its standard input, which stays open as long as the driver lives, and prints
why a network was refused.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

from fairfm_core.config.trial import Trial
from fairfm_core.errors import BadInput
from fairfm_core.stages import Stage
from sweeps.interrupts import Check
from sweeps.planning.study import Resources
from sweeps.preflight.machine import memory_findings, this_machine
from sweeps.status.network_check import (
    check_networks,
    check_questions,
    count_parameters,
    memory_questions,
)
from sweeps.status.network_questions import Question
from sweeps.status.networks import Network
from sweeps.status.pretraining_networks import count_pretrainings, pretraining_questions

REFUSED = 2
"""Exit code of the process that refuses a network."""
COMMAND = (sys.executable, "-m", "sweeps.preflight.network_process")
"""What starts the process."""
POLL_SECONDS = 0.1
"""Between two looks at whether the check has ended or the run is interrupted."""


@dataclass(frozen=True)
class Here:
    """Training on this machine, whose memory its networks need."""

    asked: Resources
    cpus: int | None
    """Cores that are used; None for all that the process may use."""
    stages: tuple[Stage, ...] = ()
    """What is to run: the networks of its pre-trainings are counted too."""

    def questions(self) -> list[Question]:
        """How much memory each pre-training takes."""
        return pretraining_questions(self.stages, self.asked.workers)

    def check(self, networks: Sequence[Network]) -> None:
        """Raise BadInput for a network that takes more memory than this machine has."""
        pretrainings = count_pretrainings(self.stages, self.asked.workers)
        machine = this_machine(self.cpus)
        memory_findings([*networks, *pretrainings], self.asked, machine).check()


@dataclass(frozen=True)
class NetworkRequest:
    """What to check."""

    trials: tuple[Trial, ...]
    here: Here | None

    def is_answered(self) -> bool:
        """Whether all that is asked about the networks was asked before."""
        questions = check_questions(self.trials)
        if self.here is not None:
            questions += memory_questions(self.trials) + self.here.questions()
        return all(question.is_known() for question in questions)

    def check(self) -> None:
        """Raise BadInput for a network that cannot be built, or that this machine cannot hold."""
        if self.here is None:
            check_networks(self.trials)
        else:
            self.here.check(count_parameters(self.trials))


@contextmanager
def networks_checked(
    trials: Sequence[Trial], here: Here | None = None
) -> Iterator[Callable[[Check], None]]:
    """Check the networks of `trials` while the block runs: in another process, if any is new.

    With `here`, the memory that they need is compared with this machine's too. Yields a function
    that waits for the end of the check and raises BadInput for a refused network, or for a check
    that was killed. Its argument is called while it waits, and may raise.
    """
    request = NetworkRequest(tuple(trials), here)
    if request.is_answered():
        yield lambda check: request.check()
        return
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,  # Ctrl-C is the driver's to handle
    )
    with process:
        try:
            assert process.stdin is not None
            pickle.dump(request, process.stdin)
            process.stdin.flush()
            yield lambda check: _wait(process, check)
        finally:
            process.kill()


def _wait(process: subprocess.Popen[bytes], check: Check) -> None:
    while True:
        check()
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(POLL_SECONDS)
            break
    assert process.stdout is not None
    reason = process.stdout.read().decode().strip()  # a line, which its pipe holds
    if code == REFUSED:
        raise BadInput(reason)
    if code < 0:
        raise BadInput(
            f"the process that checks the study's networks was ended by signal {-code} (the system "
            "sends 9 when memory is short); free some memory and run the same command again"
        )
    assert code == 0, f"the check of networks ended with code {code}"


def _main(requests: BinaryIO) -> int:
    """Check what `requests` holds; the exit code of this process."""
    # Pickled by the module's name: run as a script, this one is called __main__.
    request = pickle.load(requests)
    threading.Thread(target=_end_with_parent, args=[requests.fileno()], daemon=True).start()
    try:
        request.check()
    except BadInput as error:
        print(error)
        return REFUSED
    return 0


def _end_with_parent(pipe: int) -> None:
    """End this process when the other end of the pipe closes: a killed driver cannot end it."""
    os.read(pipe, 1)  # not through a buffer, whose lock would be held when this process ends
    os._exit(1)


if __name__ == "__main__":
    sys.exit(_main(sys.stdin.buffer))
