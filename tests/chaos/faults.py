"""The faults, by kind, and how one is tried: strike, look, give the same command again, judge."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .commands import Ran, fairfm, quick_run, real_run
from .corruption import (
    CHECKPOINTS,
    DAMAGES,
    DATA_FILES,
    STAGE_FILES,
    STUDY_FILES,
    damage_data,
    damage_file,
    damage_stage,
)
from .disks import fail_every_sync, fail_sync, fill_disk, lose_power, make_read_only
from .processes import STRIKES, strike_process
from .study import Untouched
from .verdict import (
    GOOD,
    TRACEBACK,
    Evidence,
    Stand,
    Struck,
    judged,
    mlflow_state,
    resumed,
    stand,
    tables,
)

FIRST_SEED = 1000
RUNS = 7
"""MLflow's runs: of six trials and one pre-training."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong; its seed decides where and when."""

    kind: str
    name: str
    seed: int
    state: str
    """The results that it begins with: `empty`, `unfinished` or `finished`."""
    strike: Callable[[Path, Random], Struck]
    run: Callable[[Path], Ran]
    """How the same command is given again."""


@dataclass(frozen=True)
class Outcome:
    """What became of a fault."""

    fault: Fault
    description: str
    verdict: str
    reason: str


Make = Callable[[int], Fault]
"""A fault with this seed."""


def _made(kind: str, name: str, state: str, strike: Callable[..., Struck], run: object) -> Make:
    return lambda seed: Fault(kind, name, seed, state, strike, run)  # type: ignore[arg-type]


DamageFile = Callable[[str, str], Callable[[Path, Random], Struck]]
"""What strikes, given the kind of file and the kind of damage."""


def _damages(kind: str, files: tuple[str, ...], damage: DamageFile, state: str) -> list[Make]:
    return [
        _made(kind, f"{how} {file}", state, damage(file, how), quick_run)
        for file in files
        for how in DAMAGES
    ]


KINDS: dict[str, list[Make]] = {
    "stage files": _damages("stage files", STAGE_FILES, damage_stage, "finished"),
    "study files": _damages("study files", STUDY_FILES, damage_file, "finished"),
    "checkpoints": _damages("checkpoints", CHECKPOINTS, damage_file, "unfinished"),
    "prepared data": _damages("prepared data", DATA_FILES, damage_data, "unfinished"),
    "failing disk": [
        _made("failing disk", "EIO", "empty", fail_sync, quick_run),
        _made("failing disk", "EIO, Ray", "empty", fail_every_sync, real_run),
    ],
    "power loss": [_made("power loss", "power loss", "empty", lose_power, quick_run)],
    "full disk": [
        _made("full disk", "full", "unfinished", fill_disk(quick_run, 400_000), quick_run),
        _made("full disk", "full, Ray", "empty", fill_disk(real_run, 2_000_000), real_run),
    ],
    "read-only": [_made("read-only", "read-only", "empty", make_read_only, real_run)],
    "processes": [
        _made("processes", name, "empty", strike_process(name), real_run) for name in STRIKES
    ],
    "damage, Ray": [
        _made("damage, Ray", f"{how} {file}", "finished", damage_stage(file, how), real_run)
        for file, how in (
            ("features/*/train.npy", "flip"),
            ("adapt/*/predictions/test.parquet", "swap"),
            ("evaluate/*/done", "empty"),
        )
    ],
}
NEEDS_DISKS = ("power loss", "full disk", "read-only")
"""Kinds that mount file systems of their own."""
LOOKS: tuple[tuple[str, ...], ...] = (
    ("sweep", "status", "study.yaml"),
    ("pareto", "results", "--json", "--out", "shown"),
    ("report", "results", "--out", "shown"),
    ("sweep", "plan", "study.yaml"),
    ("data", "check", "data"),
)


def faults_of(kind: str, count: int, first_seed: int) -> Iterator[Fault]:
    """Faults of a kind with consecutive seeds; the seed says which one of its list it is."""
    makes = KINDS[kind]
    for seed in range(first_seed, first_seed + count):
        yield makes[(seed - FIRST_SEED) % len(makes)](seed)


def outcome_of(fault: Fault, untouched: Untouched, folder: Path) -> Outcome:
    """`try_fault`; an error of this program is an outcome too, and the other faults go on."""
    try:
        return try_fault(fault, untouched, folder)
    except Exception as error:
        return Outcome(fault, "not tried to its end", TRACEBACK, f"of the chaos suite: {error!r}")


def try_fault(fault: Fault, untouched: Untouched, folder: Path) -> Outcome:
    """Try one fault in a new folder, which is removed unless the verdict is bad."""
    untouched.copy(fault.state, folder)
    random = Random(f"{fault.kind} {fault.name} {fault.seed}")
    struck = fault.strike(folder, random)
    results = folder / "results"
    before = stand(results)
    looks = _looks(folder, random)
    wrong = None if struck.unfinished else _wrong_front(untouched, before, looks)
    again = fault.run(folder)
    expected = tables(untouched.folder / "finished")
    found = tables(results)
    evidence = Evidence(
        struck=struck,
        before=before,
        looks=looks,
        wrong_look=wrong,
        again=again,
        after=stand(results),
        different=[path for path in expected if found.get(path) != expected[path]],
        resumed=resumed(folder) if fault.run is quick_run else {},
        mlflow=mlflow_state(results, RUNS) if fault.run is real_run else None,
    )
    verdict, reason = judged(evidence)
    if verdict in GOOD:
        shutil.rmtree(folder)
    else:
        said = [f"$ {r.command} [{r.code}]\n{r.output}" for r in (*struck.ran, *looks, again)]
        (folder / "said.txt").write_text("\n".join(said))
    return Outcome(fault, struck.description, verdict, reason)


def _looks(folder: Path, random: Random) -> list[Ran]:
    """The check of everything, and one of the other commands that read."""
    if not (folder / "results" / "fairfm.json").exists():
        return []
    chosen = [("results", "check", "results"), random.choice(LOOKS)]
    return [fairfm(folder, *arguments) for arguments in chosen]


def _wrong_front(untouched: Untouched, before: Stand, looks: list[Ran]) -> str | None:
    """Whether a front shows other numbers, without saying why, than the published stages give."""
    for ran in looks:
        if not ran.command.startswith("pareto") or ran.code != 0:
            continue
        shown = json.loads(ran.stdout)
        if not shown["left_out"] and shown != front_of(untouched, frozenset(before.published)):
            return "pareto shows other numbers and leaves nothing out"
    return None


_FRONTS: dict[tuple[Path, frozenset[str]], Mapping[str, object]] = {}


def front_of(untouched: Untouched, published: frozenset[str]) -> Mapping[str, object]:
    """What `fairfm pareto --json` shows of the untouched run with these of its stages alone."""
    key = (untouched.folder, published)
    if key not in _FRONTS:
        with tempfile.TemporaryDirectory(dir=untouched.folder) as scratch:
            some = Path(scratch) / "results"
            shutil.copytree(untouched.folder / "finished", some)
            for marker in [*some.glob("*/*/done")]:
                if marker.parent.relative_to(some).as_posix() not in published:
                    shutil.rmtree(marker.parent)
            ran = fairfm(Path(scratch), "pareto", "results", "--json", "--out", "shown")
            _FRONTS[key] = json.loads(ran.stdout)
    return _FRONTS[key]
