"""Change the modules behind the numbers in every small way and see whether a test notices.

`make mutants`, or `python tests/mutants splits` for the modules whose name holds a word. Prints the
mutants that no test noticed; those with a reason to survive stand in survivors.yaml. Fails where
another one survives, where one of the list no longer does, and below 90 % noticed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import yaml
from mutations import Mutant, mutants
from running import ROOT, preload, run, seconds_of

sys.path.insert(0, str(ROOT))
HERE = Path(__file__).parent
TESTS: dict[str, list[str]] = yaml.safe_load((HERE / "modules.yaml").read_text())
"""The modules whose silent change would change a number, and the tests that watch them."""
LEAST = 0.9


def survivors_of(module: str, reasons: Collection[str]) -> tuple[list[Mutant], int]:
    """The mutants of a module that no test notices, and how many mutants it has."""
    file = ROOT / Path(*module.split(".")).with_suffix(".py")
    every = list(mutants(file.read_text(), str(file)))
    tests = [str(ROOT / "tests" / test) for test in TESTS[module]]
    began, seconds = time.time(), seconds_of(module, tests)
    print(f"{module}: {len(every)} mutants, {seconds:.1f} s each at most", flush=True)
    left = []
    for mutant in every:
        if not run(module, mutant.code, tests, seconds):
            left.append(mutant)
            known = "" if mutant.name in reasons else " (no reason listed)"
            print(f"  line {mutant.line} survives{known}: {mutant.name}", flush=True)
    print(f"  {len(every) - len(left)} of {len(every)} noticed in {time.time() - began:.0f} s")
    return left, len(every)


def main(words: Sequence[str]) -> int:
    """0 where no mutant survives without a reason."""
    allowed: dict[str, dict[str, str]] = yaml.safe_load((HERE / "survivors.yaml").read_text()) or {}
    chosen = [m for m in TESTS if not words or any(word in m for word in words)]
    preload()
    alive = total = wrong = 0
    for module in chosen:
        reasons = allowed.get(module, {})
        left, count = survivors_of(module, reasons)
        alive, total = alive + len(left), total + count
        names = {mutant.name for mutant in left}
        for name in sorted(reasons.keys() - names):
            print(f"  listed but not alive: {name}")
        wrong += len(names ^ reasons.keys())
    print(f"{total - alive} of {total} mutants noticed: {(total - alive) / total:.1%}")
    return int(bool(wrong) or (total - alive) / total < LEAST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
