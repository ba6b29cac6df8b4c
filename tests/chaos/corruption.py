"""Every kind of file, damaged in every way: of a results folder and of prepared data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from .study import NAME, stages_of
from .verdict import Struck, is_intact

Damage = Callable[[Path, Random, list[Path]], str]
"""Damages a file, given others of its kind; returns how in words."""


def flip(path: Path, random: Random, others: list[Path]) -> str:
    """One bit of one byte; size and modification time stay."""
    content, before = bytearray(path.read_bytes()), path.stat()
    place = random.randrange(len(content))
    content[place] ^= 1 << random.randrange(8)
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return f"byte {place} flipped"


def cut(path: Path, random: Random, others: list[Path]) -> str:
    """The end is lost."""
    size = random.randrange(1, path.stat().st_size)
    os.truncate(path, size)
    return f"cut to {size} bytes"


def empty(path: Path, random: Random, others: list[Path]) -> str:
    """As some file systems leave a file after a loss of power."""
    os.truncate(path, 0)
    return "emptied"


def delete(path: Path, random: Random, others: list[Path]) -> str:
    """Somebody tidied up."""
    path.unlink()
    return "deleted"


def append(path: Path, random: Random, others: list[Path]) -> str:
    """Something was written behind the end."""
    count = random.randrange(1, 1000)
    with path.open("ab") as file:
        file.write(random.randbytes(count))
    return f"{count} bytes appended"


def swap(path: Path, random: Random, others: list[Path]) -> str:
    """Another file of the kind takes its place, with all its times."""
    content = path.read_bytes()
    different = [other for other in others if other.read_bytes() != content]
    if not different:
        return append(path, random, others) + " (there is no other one)"
    other = random.choice(different)
    shutil.copy2(other, path)
    return f"replaced by {other.parent.name}/{other.name}"


DAMAGES: dict[str, Damage] = {d.__name__: d for d in (flip, cut, empty, swap, delete, append)}

STAGE_FILES = (
    *("adapt/*/done", "adapt/*/history.json"),
    *("adapt/*/predictions/val.parquet", "adapt/*/predictions/test.parquet"),
    *("evaluate/*/done", "evaluate/*/evaluation.parquet"),
    *("features/*/done", "features/*/train.npy", "features/*/val.npy", "features/*/test.npy"),
    *("pretrain/*/done", "pretrain/*/weights.safetensors", "pretrain/*/history.json"),
    *("pooled/*/evaluation.parquet", "pooled/*/done"),  # last: seeds name places in this list
)
"""Kinds of files of finished stages; a check has to see any damage to them."""
STUDY_FILES = (
    *(f"studies/{NAME}/study.json", "fairfm.json"),
    *(f"studies/{NAME}/front.csv", f"studies/{NAME}/report.html"),
)
CHECKPOINTS = ("checkpoints/*/*",)
DATA_FILES = ("cohort.parquet", "hashes.npy", "images.npy", "manifest.json")
CONSUMERS = {"features": ("adapt", "evaluate"), "pretrain": ("features", "adapt", "evaluate")}
"""Stages that are removed with a damaged one, so that something reads it."""


def damage_stage(pattern: str, damage: str) -> Callable[[Path, Random], Struck]:
    """Damages a file of a finished stage."""

    def strike(folder: Path, random: Random) -> Struck:
        results = folder / "results"
        path, others = _chosen(results, pattern, random)
        kind, fingerprint = path.relative_to(results).parts[:2]
        touched = {f"{kind}/{fingerprint}", *_remove_consumers(folder, kind, fingerprint)}
        unmarked = path.name == "done" and damage == "delete"
        how = DAMAGES[damage](path, random, others)
        place = path.relative_to(results)
        return Struck(
            f"{place} {how}",
            touched,
            unfinished=unmarked or len(touched) > 1,
            noticed=not unmarked,
        )

    return strike


def damage_file(pattern: str, damage: str) -> Callable[[Path, Random], Struck]:
    """Damages a file of the study or a checkpoint."""

    def strike(folder: Path, random: Random) -> Struck:
        results = folder / "results"
        path, others = _chosen(results, pattern, random)
        if pattern in CHECKPOINTS:
            assert is_intact(path)
        how = DAMAGES[damage](path, random, others)
        return Struck(f"{path.relative_to(results)} {how}")

    return strike


def damage_data(name: str, damage: str) -> Callable[[Path, Random], Struck]:
    """Damages a file of one of the two prepared data sets."""

    def strike(folder: Path, random: Random) -> Struck:
        first, second = random.sample([folder / "data", folder / "corpus"], 2)
        how = DAMAGES[damage](first / name, random, [second / name])
        return Struck(f"{first.name}/{name} {how}")

    return strike


def _chosen(results: Path, pattern: str, random: Random) -> tuple[Path, list[Path]]:
    """A file of the kind, and the others."""
    files = sorted(results.glob(pattern))
    path = random.choice(files)
    return path, [file for file in files if file != path]


def _remove_consumers(folder: Path, kind: str, fingerprint: str) -> set[str]:
    """Remove what was made from a stage; returns what was removed."""
    if kind not in CONSUMERS:
        return set()
    for trial in ("vit.tune.s0", "resnet.probe.s0", "resnet.probe.s1", "mae.s0", "mae.s1"):
        stages = stages_of(folder, folder / "results", trial)
        if stages.get(kind) == f"{kind}/{fingerprint}":
            gone = {stages[consumer] for consumer in CONSUMERS[kind]}
            for stage in gone:
                shutil.rmtree(folder / "results" / stage, ignore_errors=True)
            return gone
    return set()
