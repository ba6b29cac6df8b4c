"""Every network of a study is built once before anything is trained.

A sweep does it in a process of its own, which spares the driver torch's half a gigabyte and never
outlives it. That process is this module run as a script (not `multiprocessing`, which would import
the user's own script again). It reads the trials as a pickle from its standard input, which stays
open as long as the driver lives, and prints why a network was refused.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

from fairfm_core.config.trial import Trial
from fairfm_core.errors import BadInput
from sweeps.interrupts import Check
from sweeps.status.networks import Network, count_network
from sweeps.status.pretraining_networks import check_pretrainings

REFUSED = 2
"""Exit code of the process that refuses a network."""
POLL_SECONDS = 0.1
"""Between two looks at whether the check has ended or the run is interrupted."""


def check_networks(trials: Sequence[Trial]) -> None:
    """Build each distinct network, without allocating memory.

    Raises BadInput for one that cannot be built, or that its pre-trained weights do not fill: it
    would be trained from random ones.
    """
    from fairfm_core.models.backbones import check_network
    from fairfm_core.models.checkpoints.stage import check_weights

    for trial in _distinct(trials):
        check_network(trial.backbone, trial.adaptation)
    check_pretrainings(trials)
    loads = {
        (t.weights.model_dump_json(), t.backbone.model_dump_json(), t.adaptation.pool): t
        for t in trials
        if t.weights is not None
    }
    for trial in loads.values():
        assert trial.weights is not None
        method, pool = trial.adaptation.method, trial.adaptation.pool
        check_weights(trial.weights, trial.backbone, method, pool)


def count_parameters(trials: Sequence[Trial]) -> tuple[Network, ...]:
    """Parameters and memory of each distinct network; raises BadInput as `check_networks` does."""
    check_networks(trials)
    return tuple(dict.fromkeys(count_network(trial) for trial in _distinct(trials)))


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """One trial for each backbone and recipe."""
    keys = ((t.backbone.model_dump_json(), t.adaptation.model_dump_json()) for t in trials)
    return list(dict(zip(keys, trials, strict=True)).values())


@contextmanager
def networks_checked(trials: Sequence[Trial]) -> Iterator[Callable[[Check], None]]:
    """Check the networks of `trials` in another process while the block runs.

    Yields a function that waits for the end of the check and raises BadInput for a refused network,
    or for a check that was killed. Its argument is called while it waits, and may raise.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps.status.network_check"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,  # Ctrl-C is the driver's to handle
    )
    with process:
        try:
            assert process.stdin is not None
            pickle.dump(list(trials), process.stdin)
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
    """Check the trials in `requests`; the exit code of this process."""
    trials: list[Trial] = pickle.load(requests)
    threading.Thread(target=_end_with_parent, args=[requests.fileno()], daemon=True).start()
    try:
        check_networks(trials)
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
