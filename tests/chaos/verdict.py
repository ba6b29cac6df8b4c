"""What became of a fault: identical results, one clear line, or one of four ways to fail."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from .commands import RESUMED, Ran
from .study import NAME

IDENTICAL, CLEAR = "identical", "clear line"
LOST, REPEATED, SILENT, TRACEBACK = "lost", "repeated", "silent", "traceback"
GOOD = (IDENTICAL, CLEAR)
BAD = (LOST, REPEATED, SILENT, TRACEBACK)
VERDICTS = (*GOOD, *BAD)

ENDS = {0, 1, 2, 129, 130, 143}
"""Exit codes of fairfm: done, some failed, bad input, ended by SIGHUP, SIGINT and SIGTERM."""
CRASH = re.compile(r"Traceback \(most recent call last\)|\*\*\* SIG\w+ received|Fatal Python error")
LEFT_ALONE = re.compile(r"^warning: MLflow ")
"""Lines on stderr about MLflow, which is tried again and is never the reason of an end."""
TABLES = ("adapt/*/predictions/*.parquet", "evaluate/*/*.parquet", f"studies/{NAME}/front.csv")
"""Predictions, metrics, gaps and the front: what has to be equal bit for bit."""


@dataclass(frozen=True)
class Stand:
    """Results at one moment: what was published, and from where trainings would go on."""

    published: Mapping[str, tuple[int, int]]
    """Inode and modification time of each stage's marker, by `<kind>/<fingerprint>`."""
    newest: Mapping[str, str]
    """Hash of the newest intact checkpoint of each training, by fingerprint."""


@dataclass(frozen=True)
class Struck:
    """What a fault has done."""

    description: str
    touched: Set[str] = frozenset()
    """Stages (`<kind>/<fingerprint>`) that may have to be made again."""
    ran: Sequence[Ran] = ()
    """Commands that were running meanwhile; what they print is judged too."""
    gone: Set[str] = frozenset()
    """Stages that had been published and are not there any longer, although they should be."""
    unfinished: bool = False
    """Whether a stage is missing now: a front then has fewer trials."""
    noticed: bool = False
    """Whether `fairfm results check` has to list it."""


@dataclass(frozen=True)
class Evidence:
    """All that is known of a fault when it is over."""

    struck: Struck
    before: Stand
    """After the fault, before the same command was given again."""
    looks: Sequence[Ran]
    """Commands that read the damaged results."""
    wrong_look: str | None
    """A command that showed other numbers and did not say why."""
    again: Ran
    """The same command again."""
    after: Stand
    different: Sequence[str]
    """Tables that differ from those of an untouched run, or are missing."""
    resumed: Mapping[str, str | None]
    """The checkpoint that each training went on from; empty where it is not known."""
    mlflow: str | None
    """What MLflow has twice, or lacks."""


def judged(seen: Evidence) -> tuple[str, str]:
    """The verdict and its reason."""
    for ran in (*seen.struck.ran, *seen.looks, seen.again):
        if fault := _crash(ran):
            return TRACEBACK, f"{ran.command}: {fault}"
    if seen.wrong_look:
        return SILENT, seen.wrong_look
    checks = [ran for ran in seen.looks if ran.command.startswith("results check")]
    if seen.struck.noticed and any(ran.code == 0 for ran in checks):
        return SILENT, "results check sees nothing"
    if seen.again.code == 0 and seen.different:
        return SILENT, f"run says done, but {seen.different[0]} differs"
    kept = seen.before.published.keys() - seen.struck.touched
    if gone := (kept - seen.after.published.keys()) | seen.struck.gone:
        return LOST, sorted(gone)[0]
    if twice := _made_twice(seen):
        return REPEATED, twice
    if seen.mlflow and seen.again.code == 0:
        return (REPEATED if "twice" in seen.mlflow else LOST), seen.mlflow
    if seen.again.code == 0:
        return IDENTICAL, ""
    return CLEAR, _lines(seen.again)[0]


def stand(results: Path) -> Stand:
    """How the results stand now."""
    markers = {path.parent: path.lstat() for path in results.glob("*/*/done")}
    published = {
        folder.relative_to(results).as_posix(): (status.st_ino, status.st_mtime_ns)
        for folder, status in markers.items()
    }
    newest = {}
    for path in sorted(results.glob("checkpoints/*/[0-9]*-*")):
        if is_intact(path):
            newest[path.parent.name] = path.name.split("-")[1]
    return Stand(published, newest)


def is_intact(checkpoint: Path) -> bool:
    """Whether a checkpoint's content has the hash in its name."""
    content = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    return content[:16] == checkpoint.name.split("-")[1]


def tables(results: Path) -> dict[str, bytes]:
    """The content of every table, by its path."""
    files = [path for pattern in TABLES for path in sorted(results.glob(pattern))]
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in files}


def resumed(folder: Path) -> dict[str, str | None]:
    """What `quick_run` has noted beside the study."""
    file = folder / RESUMED
    return json.loads(file.read_text()) if file.exists() else {}


def mlflow_state(results: Path, runs: int) -> str | None:
    """What the MLflow database has twice or lacks, None if nothing.

    Costs are left out: a damaged training is done again, and costs something else then. So is the
    NaN with which a run announces its objectives.
    """
    database = results / "mlflow.db"
    if not database.exists():
        return None
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "SELECT run_uuid, name, status FROM runs WHERE run_uuid NOT IN "
            "(SELECT run_uuid FROM tags WHERE key = 'fairfm.kind' AND value = 'study')"
        ).fetchall()
        twice = connection.execute(
            "SELECT key FROM metrics WHERE key NOT LIKE 'cost/%' AND NOT is_nan "
            "GROUP BY run_uuid, key, step HAVING COUNT(*) > 1"
        ).fetchall()
    connection.close()
    if twice:
        return f"MLflow has {twice[0][0]} twice"
    if len(rows) != runs:
        return f"MLflow has {'runs twice' if len(rows) > runs else 'lost runs'}: {len(rows)}"
    if unfinished := [name for _, name, status in rows if status != "FINISHED"]:
        return f"MLflow shows {unfinished[0]} as unfinished"
    return None


def _crash(ran: Ran) -> str | None:
    """Why a command's end is not one in our words; None if it is."""
    if found := CRASH.search(ran.output):
        return found[0]
    if ran.code not in ENDS:
        return f"exit code {ran.code}"
    lines = _lines(ran)
    if ran.code > 1 and (len(lines) != 1 or not lines[0].startswith("error: ")):
        return f"{len(lines)} lines instead of one: {' | '.join(lines)[:300]}"
    return None


def _lines(ran: Ran) -> list[str]:
    """What a command that failed says of it, in lines."""
    said = [line for line in ran.stderr.splitlines() if line and not LEFT_ALONE.search(line)]
    failed = [line.strip() for line in ran.stdout.splitlines() if line.startswith("  failed ")]
    return said or failed or [f"exit code {ran.code}"]


def _made_twice(seen: Evidence) -> str | None:
    for stage, marker in seen.before.published.items():
        if stage not in seen.struck.touched and seen.after.published[stage] != marker:
            return f"{stage} was made again"
    for training, checkpoint in seen.resumed.items():
        if seen.before.newest.get(training) not in (None, checkpoint):
            return f"{training} did not go on from its newest intact checkpoint"
    return None
