"""The jobs of a run: which are running, since when, and what they have last reported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from fairfm_core.stages import EpochValues, Stage
from sweeps.live.board import RunningJob, finite
from sweeps.timing.epochs import epochs_of
from sweeps.timing.work import LiveJob


class RunningJobs:
    """Knows each job by its name, the fingerprint of the first of its missing stages."""

    def __init__(
        self,
        jobs: Sequence[LiveJob],
        trials_text: Callable[[LiveJob], str],
        before: Mapping[str, int],
    ) -> None:
        """`before` are the epochs behind stages that go on from a checkpoint, by fingerprint."""
        self._trials_text = trials_text
        self._jobs: dict[str, LiveJob] = {}
        self._job_of: dict[str, str] = {}
        self._trials: dict[str, str] = {}
        self.extend(jobs)
        self._before = before
        self._begun: dict[str, float] = {}
        """When each running job was begun, by name."""
        self._rows: dict[str, dict[str, EpochValues]] = defaultdict(dict)
        """The last values of each stage of a running job."""

    def extend(self, jobs: Sequence[LiveJob]) -> None:
        """Further jobs of the run."""
        self._jobs |= {job.name: job for job in jobs}
        self._job_of |= {s.fingerprint: job.name for job in jobs for s in job.stages}
        self._trials |= {job.name: self._trials_text(job) for job in jobs}

    def name_of(self, fingerprint: str) -> str:
        """The name of a stage's job."""
        return self._job_of[fingerprint]

    def stages_of(self, name: str) -> tuple[Stage, ...]:
        """The missing stages of a job."""
        return self._jobs[name].stages

    def text(self, name: str) -> str:
        """What a job does, and for which trials."""
        return f"{self._jobs[name].text} {self._trials[name]}"

    def begin(self, name: str, now: float) -> None:
        """A worker has begun the job, perhaps once more."""
        self._begun[name] = now

    def keep(self, stage: Stage, row: EpochValues) -> None:
        """Keep an epoch of one of a running job's stages."""
        name = self._job_of[stage.fingerprint]
        if name in self._begun:
            self._rows[name][stage.fingerprint] = row

    def end(self, name: str) -> None:
        """The job has ended, or somebody else has done it."""
        self._begun.pop(name, None)
        self._rows.pop(name, None)

    def running(self) -> list[str]:
        """Names of the running jobs, the longest running first."""
        return sorted(self._begun, key=lambda name: self._begun[name])

    def running_stages(self) -> Iterator[Stage]:
        """The stages of all running jobs."""
        return (stage for name in self._begun for stage in self._jobs[name].stages)

    def row(self, name: str, now: float, left: float | None) -> RunningJob:
        """A running job on a board; `left` are the seconds that it will still take."""
        job, rows = self._jobs[name], list(self._rows.get(name, {}).values())
        losses, aucs = _values(rows, "loss"), _values(rows, "val_auc")
        epochs = job.stages[0].pause_after or epochs_of(job.stages[0])
        epoch = int(max(_values(rows, "epoch"), default=self._before.get(name, 0)))
        return RunningJob(
            work=job.text,
            trials=self._trials[name],
            epoch=None if epochs is None else epoch,
            epochs=epochs,
            loss=sum(losses) / len(losses) if losses else None,
            auc=max(aucs, default=None),
            device=job.device,
            seconds=now - self._begun[name],
            left=left,
        )


def _values(rows: Sequence[EpochValues], name: str) -> list[float]:
    """The values of a column that say something."""
    return [value for row in rows if (value := finite(row.get(name))) is not None]
