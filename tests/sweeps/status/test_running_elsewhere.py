"""`fairfm sweep status` names the machine and process that is at work on a trial."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from fairfm_core.artifacts import open_store
from sweeps.claims.claims import Claims
from sweeps.planning.plan import make_plan
from sweeps.planning.study import StudySpec
from sweeps.status.status import study_status


def test_a_claimed_stage_is_running(study_values: dict[str, Any], tmp_path: Path) -> None:
    study, store = StudySpec.model_validate(study_values), open_store(str(tmp_path))
    tune = next(t for t in make_plan(study).trials if t.name.startswith("tune"))
    with Claims(store) as mine:
        mine.take([tune.adapt.fingerprint])
        who = f"{socket.gethostname()}, process {os.getpid()}"
        states = study_status(study, store).states
        assert states.pop(tune.name) == f"running: adapt ({who})"
        assert set(states.values()) == {"to do"}
        store.save_checkpoint(tune.adapt.fingerprint, 3, b"state")
        state = study_status(study, store).states[tune.name]
        assert state == f"running: adapt, after epoch 3 ({who})"
    assert study_status(study, store).states[tune.name].startswith("half done")


def test_what_is_done_is_not_running(study_values: dict[str, Any], tmp_path: Path) -> None:
    """A driver that was ended by force leaves claims behind."""
    study, store = StudySpec.model_validate(study_values), open_store(str(tmp_path))
    trial = make_plan(study).trials[0]
    with Claims(store) as mine:
        mine.take([stage.fingerprint for stage in trial.stages])
        for stage in trial.stages:
            with store.publish(stage.kind, stage.fingerprint, {}):
                pass
        assert study_status(study, store).states[trial.name] == "done"
