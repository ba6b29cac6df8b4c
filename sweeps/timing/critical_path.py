"""Which jobs decide when a study ends: those that long chains of work wait for.

Until a job has begun, the run cannot end sooner than its path takes: the job itself and then the
longest chain of jobs that need its results. So of those that may start the one with the longest
path goes first (T. C. Hu, Parallel sequencing and assembly line problems, Operations Research 9,
1961).
"""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.status.status import StudyStatus
from sweeps.timing.durations import read_durations
from sweeps.timing.schedule import longest_paths
from sweeps.timing.time_left import TimeLeft, shares_behind
from sweeps.timing.work import LiveJob, work_of_job

IMAGE_SECONDS = 1e-3
"""Seconds of an image pass where nobody has measured any: only the order of jobs rests on it."""


def job_paths(jobs: Sequence[LiveJob], status: StudyStatus) -> dict[str, float]:
    """The longest path from each job of a study's missing work, by what earlier runs measured."""
    works = {job.name: (job, work_of_job(job, status.plan.data.values())) for job in jobs}
    timer = TimeLeft(works, (1.0, 0.0), 1, shares_behind(status.begun, jobs), read_durations())
    seconds = {}
    for name, (_, work) in works.items():
        left = timer.job_left(name, 0.0)
        seconds[name] = IMAGE_SECONDS * work.amount * work.cost if left is None else left
    job_of = {stage.fingerprint: job.name for job in jobs for stage in job.stages}
    after = {job.name: {job_of[need] for need in job.inputs if need in job_of} for job in jobs}
    return longest_paths(seconds, after)
