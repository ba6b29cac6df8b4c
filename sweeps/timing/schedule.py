"""When a graph of jobs is done: the jobs are placed on the resources as the sweep places them."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import count

SLACK = 1e-9
"""Of shares such as a third of a GPU, which do not add up to one exactly."""
Amounts = tuple[float, float]
"""CPUs and GPUs."""


@dataclass(frozen=True)
class Pending:
    """A job that is not done."""

    name: str
    seconds: float
    """What it will still take."""
    after: frozenset[str]
    """Names of pending jobs that it waits for."""
    demand: Amounts
    rank: int = 0
    """Of those that can start, the smallest goes first, and of equal ones the longest path."""
    running: bool = False


def makespan(jobs: Sequence[Pending], capacity: Amounts) -> float:
    """Seconds until all jobs are done; each starts when its inputs are done and it has room.

    Nodes are not told apart: `capacity` is what all have together. A job that asks for more runs
    alone.
    """
    return _Simulation(jobs, capacity).run()


def longest_paths(seconds: Mapping[str, float], after: Mapping[str, Set[str]]) -> dict[str, float]:
    """Seconds from the start of each job to the end of the last one that waits for it.

    `after` are the jobs that each one waits for; those without `seconds` are done. Jobs that wait
    for each other are an error of the caller's.
    """
    needs = {name: after.get(name, frozenset()) & seconds.keys() for name in seconds}
    waiting: dict[str, int] = defaultdict(int)
    for each in needs.values():
        for need in each:
            waiting[need] += 1
    last = [name for name in seconds if not waiting[name]]
    behind = dict.fromkeys(seconds, 0.0)
    paths: dict[str, float] = {}
    while last:
        name = last.pop()
        paths[name] = seconds[name] + behind[name]
        for need in needs[name]:
            behind[need] = max(behind[need], paths[name])
            waiting[need] -= 1
            if not waiting[need]:
                last.append(need)
    assert len(paths) == len(seconds), "jobs wait for each other"
    return paths


class _Simulation:
    def __init__(self, jobs: Sequence[Pending], capacity: Amounts) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._capacity = capacity
        self._free = capacity
        self._running: list[tuple[float, str]] = []
        self._ready: dict[Amounts, list[tuple[int, float, int, str]]] = defaultdict(list)
        self._waits = {j.name: len(j.after & self._jobs.keys()) for j in jobs if not j.running}
        self._consumers: Mapping[str, list[str]] = _consumers(self._jobs, self._waits)
        self._paths = longest_paths(
            {j.name: j.seconds for j in jobs}, {j.name: j.after for j in jobs}
        )
        self._order = count()
        self._now = 0.0

    def run(self) -> float:
        for job in self._jobs.values():
            if job.running:
                self._begin(job)
        for name, waits in self._waits.items():
            if not waits:
                self._queue(name)
        self._begin_ready()
        while self._running:
            self._now, name = heapq.heappop(self._running)
            self._free = _sum(self._free, self._jobs[name].demand)
            for consumer in self._consumers.get(name, ()):
                self._waits[consumer] -= 1
                if not self._waits[consumer]:
                    self._queue(consumer)
            self._begin_ready()
        return self._now

    def _queue(self, name: str) -> None:
        job = self._jobs[name]
        place = (job.rank, -self._paths[name], next(self._order), name)
        heapq.heappush(self._ready[job.demand], place)

    def _begin_ready(self) -> None:
        """Begin what has room, by rank; a kind of demand without room lets others pass."""
        while fitting := [queue[0] for demand, queue in self._ready.items() if self._fits(demand)]:
            job = self._jobs[min(fitting)[-1]]
            heapq.heappop(self._ready[job.demand])
            self._begin(job)

    def _fits(self, demand: Amounts) -> bool:
        if not self._ready[demand]:
            return False
        room = all(d <= f + SLACK for d, f in zip(demand, self._free, strict=True))
        return room or not self._running

    def _begin(self, job: Pending) -> None:
        self._free = _sum(self._free, job.demand, -1.0)
        heapq.heappush(self._running, (self._now + job.seconds, job.name))


def _consumers(jobs: Mapping[str, Pending], waits: Mapping[str, int]) -> dict[str, list[str]]:
    consumers: dict[str, list[str]] = defaultdict(list)
    for name in waits:
        for need in jobs[name].after & jobs.keys():
            consumers[need].append(name)
    return consumers


def _sum(first: Amounts, second: Amounts, sign: float = 1.0) -> Amounts:
    return first[0] + sign * second[0], first[1] + sign * second[1]
