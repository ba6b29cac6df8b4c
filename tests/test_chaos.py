"""A one-minute slice of `make chaos`, and whether its verdicts can be bad at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from fairfm_core.artifacts import open_store

from .chaos.__main__ import COUNTS, table
from .chaos.commands import Ran, quick_run, real_run
from .chaos.faults import KINDS, NEEDS_DISKS, Fault, Outcome, faults_of, front_of, try_fault
from .chaos.processes import strike_process
from .chaos.study import Untouched, make_untouched
from .chaos.verdict import (
    CLEAR,
    GOOD,
    IDENTICAL,
    LOST,
    REPEATED,
    SILENT,
    TRACEBACK,
    Evidence,
    Stand,
    Struck,
    judged,
    stand,
)
from .one_core import ONE_CORE

STAGE = "adapt/0123456789abcdef0123"
DONE = Ran("sweep run", 0, "1 of 1 trials done\n", "", 1.0)
REFUSED = replace(DONE, code=2, stdout="", stderr="error: the disk is full; make room\n")
CRASHED = replace(DONE, code=1, stderr="Traceback (most recent call last):\n  KeyError\n")
HERE = Stand({STAGE: (1, 1)}, {"t": "newest"})
WELL = Evidence(
    struck=Struck("nothing"),
    before=HERE,
    looks=[Ran("results check results", 1, "1 fault\n", "", 1.0)],
    wrong_look=None,
    again=DONE,
    after=HERE,
    different=[],
    resumed={"t": "newest"},
    mlflow=None,
)


@pytest.mark.parametrize(
    ("verdict", "changes"),
    [
        (IDENTICAL, {}),
        (CLEAR, {"again": REFUSED}),
        (CLEAR, {"again": replace(REFUSED, code=143)}),
        (CLEAR, {"again": replace(DONE, code=1, stdout="  failed x: cannot be read\n")}),
        (TRACEBACK, {"again": CRASHED}),
        (TRACEBACK, {"again": replace(REFUSED, stderr="error: a\nand more\n")}),
        (TRACEBACK, {"again": replace(REFUSED, code=-6)}),
        (TRACEBACK, {"looks": [CRASHED]}),
        (TRACEBACK, {"struck": Struck("killed", ran=[CRASHED])}),
        (SILENT, {"different": ["front.csv"]}),
        (SILENT, {"wrong_look": "pareto shows other numbers"}),
        (SILENT, {"struck": Struck("flipped", noticed=True), "looks": [
            Ran("results check results", 0, "0 faults\n", "", 1.0)]}),
        (LOST, {"after": Stand({}, {})}),
        (LOST, {"struck": Struck("power lost", gone=frozenset({STAGE}))}),
        (LOST, {"mlflow": "MLflow has lost runs: 1"}),
        (REPEATED, {"after": Stand({STAGE: (2, 1)}, {})}),
        (IDENTICAL, {"after": Stand({STAGE: (2, 1)}, {}), "struck": Struck("cut", {STAGE})}),
        (REPEATED, {"resumed": {"t": "older"}}),
        (REPEATED, {"mlflow": "MLflow has train/loss twice"}),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_what_was_seen(verdict: str, changes: dict[str, object]) -> None:
    assert judged(replace(WELL, **changes))[0] == verdict  # type: ignore[arg-type]


def test_the_table_counts_verdicts_by_kind() -> None:
    (fault,) = faults_of("power loss", 1, 7)
    shown = table([Outcome(fault, "", IDENTICAL, ""), Outcome(fault, "", LOST, "")])
    assert "| power loss | 2 | 1 | 0 | 1 | 0 | 0 | 0 |" in shown


def test_at_least_two_hundred_faults_are_tried_and_each_can_be_named_again() -> None:
    assert COUNTS.keys() == KINDS.keys()
    assert sum(COUNTS.values()) >= 200
    assert KINDS.keys() >= {*NEEDS_DISKS}
    (first,), (again,) = faults_of("processes", 1, 5), faults_of("processes", 1, 5)
    assert (first.name, first.seed) == (again.name, again.seed)


def test_a_seed_names_one_fault_whatever_is_tried_with_it() -> None:
    every = {fault.seed: fault.name for fault in faults_of("stage files", 20, 1000)}
    (alone,) = faults_of("stage files", 1, 1013)
    assert alone.name == every[1013]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Untouched:
    return make_untouched(tmp_path_factory.mktemp("chaos") / "untouched", quick_run)


SLICE = [
    *faults_of("stage files", 3, 1001),
    *faults_of("stage files", 2, 1075),
    *faults_of("checkpoints", 1, 1003),
    *faults_of("prepared data", 1, 1012),
    *faults_of("failing disk", 1, 1000),
]


@pytest.mark.slow
@pytest.mark.parametrize("fault", SLICE, ids=lambda fault: f"{fault.name} {fault.seed}")
def test_a_fault_ends_well(fault: Fault, untouched: Untouched, tmp_path: Path) -> None:
    outcome = try_fault(fault, untouched, tmp_path / "tried")
    assert outcome.verdict in GOOD, outcome


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.chaos) for name in ("SIGKILL worker", "SIGKILL driver")],
)
def test_a_process_ends_well(
    name: str, untouched: Untouched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The untouched run knew no Ray: the results are the same bits."""
    for variable, value in ONE_CORE.items():
        monkeypatch.setenv(variable, value)
    fault = Fault("processes", name, 3, "empty", strike_process(name), real_run)
    outcome = try_fault(fault, untouched, tmp_path / "tried")
    assert outcome.verdict == IDENTICAL, outcome


@pytest.mark.slow
def test_a_front_is_compared_with_that_of_the_stages_that_are_there(untouched: Untouched) -> None:
    every = frozenset(stand(untouched.folder / "finished").published)
    one = min(stage for stage in every if stage.startswith("evaluate/"))

    def seeds(stages: frozenset[str]) -> list[int]:
        shown = front_of(untouched, stages)["configurations"]
        return sorted(each["seeds"] for each in shown)  # type: ignore[attr-defined]

    assert seeds(every) == [2, 2, 2]
    assert seeds(every - {one}) == [1, 2, 2]


def forge(folder: Path, random: Random) -> Struck:
    """Replaces predictions by another seed's, with a marker that fits."""
    store = open_store(str(folder / "results"))
    first, second = sorted((folder / "results" / "adapt").iterdir())[:2]
    shutil.copytree(second, folder / "copy")
    (folder / "copy" / "done").unlink()
    store.publish_folder(folder / "copy", "adapt", first.name, {}, 0.0)
    return Struck("forged")


@pytest.mark.slow
def test_a_forged_result_is_silent(untouched: Untouched, tmp_path: Path) -> None:
    """Checksums are no signatures (docs/reliability.md), so a verdict can be bad."""
    fault = Fault("forgery", "forged", 0, "finished", forge, quick_run)
    assert try_fault(fault, untouched, tmp_path / "tried").verdict == SILENT
