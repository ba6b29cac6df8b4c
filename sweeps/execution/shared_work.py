"""What may start now, where several drivers work in one results folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.stages import Stage
from sweeps.claims.claims import Claims
from sweeps.execution.jobs import Job


class Admission(Enum):
    """What is to be done with a job whose inputs are done."""

    START = "start"
    """This driver has claimed its stages."""
    WAIT = "wait"
    """Another driver is at work on one of its stages."""
    DONE = "done"
    """Other drivers have finished it."""


class SharedWork:
    """Admits jobs by their claims.

    A job of several probes claims all that are missing. The heads that it trains together follow
    from its study alone, whatever another study has finished of them.
    """

    def __init__(
        self,
        claims: Claims,
        store: ArtifactStore,
        finished: Callable[[Stage], None],
        elsewhere: Callable[[Sequence[Stage], str], None],
    ) -> None:
        """`finished` and `elsewhere` are notified of stages that others finish or work on."""
        self._claims = claims
        self._store = store
        self._finished = finished
        self._elsewhere = elsewhere

    def admit(self, job: Job) -> Admission:
        """Whether the job may start; never blocks, so ask again while it has to wait."""
        holder = self._claims.take([stage.fingerprint for stage in job.wanted])
        if holder is not None:
            if holder != self._claims.driver:
                self._elsewhere(job.wanted, holder.text)
            return Admission.WAIT
        # Another driver may have finished it since the store was read.
        if not all(self._store.is_done(stage.kind, stage.fingerprint) for stage in job.wanted):
            return Admission.START
        self.release(job)
        for stage in job.wanted:
            self._finished(stage)
        return Admission.DONE

    def release(self, job: Job) -> None:
        """The job has ended here, whatever its end."""
        self._claims.release(stage.fingerprint for stage in job.wanted)
