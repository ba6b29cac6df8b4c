"""`fairfm cluster` and a sweep on hosts that die, beginning to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sweeps.execution.runner import run_study
from sweeps.planning.study import read_study

from .hosts import ADDRESSES, FIRST, HEAD, LAPTOP, SECOND, hosts, missing
from .sweeping import CLUSTER, STUDY_VALUES, TRIALS, Desk, furnish, predictions, until

REASON = missing()
pytestmark = [pytest.mark.cluster, pytest.mark.skipif(REASON is not None, reason=str(REASON))]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with hosts(tmp_path_factory.mktemp("hosts")) as made:
        yield furnish(made)


def test_a_sweep_outlives_a_worker_and_the_head(desk: Desk, tmp_path: Path) -> None:
    up = desk.fairfm(f"cluster up {CLUSTER}")
    assert all(ADDRESSES[name] in up for name in (HEAD, FIRST, SECOND))

    desk.submit(results="/mnt/home/results")  # which every host has for itself
    refused = desk.ended()
    line = next(line for line in refused.splitlines() if line.startswith("error: "))
    assert "results /mnt/home/results are not seen by node " in line
    assert all(f"{name} ({ADDRESSES[name]})" in line for name in (FIRST, SECOND))

    desk.submit()
    until(lambda: len(desk.finished()) >= 1)
    desk.hosts[FIRST].kill()
    before = desk.finished()
    until(lambda: len(desk.finished()) > len(before))
    desk.hosts[HEAD].kill()
    assert len(desk.finished()) < TRIALS, "all was done before the head died"
    down = desk.fairfm(f"cluster status {CLUSTER}", check=False)
    assert down.startswith("error: ")
    assert "cannot be reached by SSH" in down

    for name in (FIRST, HEAD):
        desk.hosts.start(name)
    kept = desk.finished()
    desk.fairfm(f"cluster up {CLUSTER}")
    state = json.loads(desk.fairfm(f"cluster status --json {CLUSTER}"))
    assert {node["address"] for node in state["nodes"]} == {
        ADDRESSES[name] for name in (HEAD, FIRST, SECOND)
    }
    times = {each: marker(desk, each) for each in kept}
    desk.submit()
    ended = desk.ended()
    assert f"{TRIALS} of {TRIALS} trials done" in ended
    assert {each: marker(desk, each) for each in kept} == times, "finished work was repeated"
    assert predictions(desk.hosts.shared / "results") == predictions(local_run(desk, tmp_path))

    desk.fairfm(f"cluster down {CLUSTER}")
    for name in (LAPTOP, HEAD, FIRST, SECOND):
        assert not [line for line in desk.hosts[name].processes() if "ray" in line]


def marker(desk: Desk, adaptation: str) -> str:
    """The marker of a finished adaptation, which holds when it was finished."""
    return (desk.hosts.shared / "results/adapt" / adaptation / "done").read_text()


def local_run(desk: Desk, folder: Path) -> Path:
    """The results of the same study on this machine alone."""
    base = STUDY_VALUES["base"]
    data = base["data"] | {"dataset": str(desk.hosts.shared / "data")}
    study = folder / "study.yaml"
    study.write_text(yaml.safe_dump(STUDY_VALUES | {"base": base | {"data": data}}))
    outcome = run_study(read_study(study), str(folder / "results"))
    assert not outcome.failures
    return folder / "results"
