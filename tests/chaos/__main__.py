"""`make chaos`: hundreds of faults, each of which must end well.

    python -m tests.chaos                      all kinds, 222 faults
    python -m tests.chaos --kind "power loss"  one kind
    python -m tests.chaos --kind processes --seed 1004 --count 1   one fault again

Every fault is tried on a copy of a tiny study: it strikes, commands look at what is left, and the
same command is given again. It must end in results that equal an untouched run's bit for bit, or in
one line that says what is wrong. Prints each fault with its seed, and a table; exits with 1 if
anything was lost, repeated, silently wrong, or answered with a traceback. The folders of such
faults are kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .commands import real_run
from .disks import why_no_disks
from .faults import FIRST_SEED, KINDS, NEEDS_DISKS, Fault, Outcome, faults_of, outcome_of
from .study import make_untouched
from .verdict import BAD, VERDICTS

COUNTS = {
    "stage files": 120,
    "study files": 24,
    "checkpoints": 12,
    "prepared data": 24,
    "failing disk": 6,
    "power loss": 6,
    "full disk": 4,
    "read-only": 2,
    "processes": 21,
    "damage, Ray": 3,
}
"""Faults of each kind: 222 in all."""


def main(arguments: Sequence[str]) -> int:
    """0 if every fault ended well."""
    asked = _parser().parse_args(arguments)
    counts = {kind: COUNTS[kind] for kind in asked.kind or KINDS}
    if asked.count is not None:
        counts = dict.fromkeys(counts, asked.count)
    for kind in [kind for kind in counts if kind in NEEDS_DISKS and why_no_disks()]:
        print(f"{kind}: skipped, {why_no_disks()}")
        del counts[kind]
    faults = [f for kind, count in counts.items() for f in faults_of(kind, count, asked.seed)]
    folder = Path(asked.folder or tempfile.mkdtemp(prefix="chaos-"))
    began = time.monotonic()
    untouched = make_untouched(folder / "untouched", real_run)
    print(f"untouched run: {untouched.seconds:.0f} s; faults in {folder}", flush=True)

    def try_one(numbered: tuple[int, Fault]) -> Outcome:
        return outcome_of(numbered[1], untouched, folder / f"{numbered[0]:04d}")

    outcomes = []
    with ThreadPoolExecutor(asked.jobs) as threads:
        pending = [threads.submit(try_one, numbered) for numbered in enumerate(faults)]
        for each in as_completed(pending):
            outcomes.append(each.result())
            _print(outcomes[-1])
    print(table(outcomes))
    print(f"{len(outcomes)} faults in {(time.monotonic() - began) / 60:.0f} minutes")
    return int(any(outcome.verdict in BAD for outcome in outcomes))


def table(outcomes: Sequence[Outcome]) -> str:
    """Numbers of verdicts by kind of fault, as Markdown."""
    rows = [["fault", "tried", *VERDICTS], ["---"] * (2 + len(VERDICTS))]
    for kind in [*dict.fromkeys(o.fault.kind for o in outcomes), "all"]:
        found = Counter(o.verdict for o in outcomes if kind in (o.fault.kind, "all"))
        rows.append([kind, str(found.total()), *(str(found[verdict]) for verdict in VERDICTS)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _print(outcome: Outcome) -> None:
    fault = outcome.fault
    print(
        f"{fault.kind} / {fault.name} / seed {fault.seed}: {outcome.description} -> "
        f"{outcome.verdict}{f' ({outcome.reason[:300]})' if outcome.reason else ''}",
        flush=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kind", action="append", choices=KINDS, help="kind of fault (repeatable)")
    parser.add_argument("--count", type=int, help="faults of each kind")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="seed of the first fault")
    parser.add_argument("--jobs", type=int, default=2, help="faults at the same time")
    parser.add_argument("--folder", help="an empty folder to work in")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
