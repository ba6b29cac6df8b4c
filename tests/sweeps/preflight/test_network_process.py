"""The process that checks networks is waited for, interrupted, and missed when it is killed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fairfm_core.errors import BadInput
from sweeps.planning.plan import make_plan
from sweeps.planning.study import Resources, StudySpec
from sweeps.preflight import machine, network_process
from sweeps.preflight.network_process import Here, networks_checked
from sweeps.status.network_check import count_parameters
from sweeps.status.pretraining_networks import count_pretrainings

from ...warm.starting import warm_python

IN_A_FORK = pytest.mark.usefixtures("_forked")
VIT = {"name": "test_vit", "image_size": 32, "channels": 1, "options": {"patch_size": 8}}


def nothing() -> None:
    """Never interrupts."""


def checkers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [each for each in children if "sweeps.preflight.network_process" in each.cmdline()]


@pytest.fixture(scope="module")
def warm() -> list[str]:
    return warm_python()


@pytest.fixture
def _forked(warm: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is a fork of one that has imported everything."""
    monkeypatch.setattr(network_process, "COMMAND", (*warm, network_process.__file__))


@pytest.fixture(autouse=True)
def _nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def test_a_killed_check_is_one_line(study_values: dict[str, Any]) -> None:
    trials = [trial.trial for trial in make_plan(StudySpec.model_validate(study_values)).trials]
    with networks_checked(trials) as wait_for_check:
        while not (found := checkers()):  # a new process has no command line for a moment
            time.sleep(0.01)
        found[0].kill()
        with pytest.raises(BadInput, match=r"ended by signal 9 .*run the same command again"):
            wait_for_check(nothing)


def test_the_wait_can_be_interrupted(study_values: dict[str, Any]) -> None:
    trials = [trial.trial for trial in make_plan(StudySpec.model_validate(study_values)).trials]

    def interrupted() -> None:
        raise KeyboardInterrupt

    with networks_checked(trials) as wait_for_check, pytest.raises(KeyboardInterrupt):
        wait_for_check(interrupted)
    assert not checkers()


@IN_A_FORK
@pytest.mark.slow
def test_a_network_larger_than_the_memory_is_refused(study_values: dict[str, Any]) -> None:
    tune = {"tune": {"method": "end_to_end", "recipe": "smoke", "batch_size": 10**9}}
    large = StudySpec.model_validate(study_values | {"matrix": {"adaptation": tune}})
    trials = [trial.trial for trial in make_plan(large).trials]
    for processes in (1, 0):  # the second time from what is kept
        refused = pytest.raises(BadInput, match=r"training takes at least .* lower image_size")
        before = children()
        with networks_checked(trials, Here(Resources(), None)) as wait_for_check, refused:
            assert len(children() - before) == processes
            wait_for_check(nothing)
    with networks_checked(trials) as wait_for_check:  # elsewhere there may be more
        wait_for_check(nothing)


@IN_A_FORK
@pytest.mark.slow
def test_a_pretraining_larger_than_the_memory_is_refused(
    study_values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = study_values["base"]["data"]
    masked = {"method": "mae", "recipe": "smoke", "corpora": [data["dataset"]]}
    changes = {
        "base": {"data": data, "backbone": VIT, "weights": {"pretraining": masked}},
        "matrix": {"adaptation": {"probe": {"method": "linear_probe", "recipe": "smoke"}}},
    }
    made = make_plan(StudySpec.model_validate(study_values | changes))
    trials = [trial.trial for trial in made.trials]
    here = Here(Resources(), None, tuple(made.stages.values()))
    with networks_checked(trials, here) as wait_for_check:
        wait_for_check(nothing)
    # The linear probe's network takes less than MAE's, which trains it.
    (network,) = count_pretrainings(made.stages.values(), 1)
    probed = count_parameters(trials)
    assert max(each.memory.total for each in probed) < network.memory.total
    monkeypatch.setattr(machine, "main_memory", lambda: network.memory.total_16 - 1)
    refused = pytest.raises(BadInput, match=r"mae, .*: training takes at least")
    with networks_checked(trials, here) as wait_for_check, refused:
        wait_for_check(nothing)
