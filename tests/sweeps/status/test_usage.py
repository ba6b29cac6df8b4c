"""What runs use is added up over all of them, and a cap ends a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fairfm_core.artifacts import open_store
from fairfm_core.stages import Stage
from sweeps.planning.caps import Caps
from sweeps.planning.study import StudySpec
from sweeps.status.usage import CapReached, Usage, UsageMeter, read_usage

TRAINING = Stage("adapt", {}, "data", "digest")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def meter(folder: Path, clock: Clock, caps: Caps | None = None) -> UsageMeter:
    return UsageMeter(open_store(str(folder)), "small", caps, lambda stage: 2.0, clock)


def test_hours_and_gpu_hours_of_all_runs(tmp_path: Path) -> None:
    clock = Clock()
    for _ in range(2):
        run = meter(tmp_path, clock)
        run.stage_started(TRAINING)
        clock.now += 1800
        run.stage_finished(TRAINING)
        clock.now += 1800
        run.save()
    assert read_usage(open_store(str(tmp_path)), "small") == Usage(hours=2.0, gpu_hours=2.0)


def test_a_running_stage_counts(tmp_path: Path) -> None:
    clock = Clock()
    run = meter(tmp_path, clock, Caps(max_gpu_hours=1))
    run.stage_started(TRAINING)
    clock.now += 1790
    run.check()
    clock.now += 20
    with pytest.raises(CapReached, match=r"caps\.max_gpu_hours of 1 is reached"):
        run.check()


def test_it_is_written_every_minute(tmp_path: Path) -> None:
    clock = Clock()
    run = meter(tmp_path, clock)
    clock.now += 61
    run.check()
    assert read_usage(open_store(str(tmp_path)), "small").hours == pytest.approx(61 / 3600)


def test_a_cost_has_its_prices() -> None:
    caps = Caps.model_validate({"max_cost": 10, "prices": {"gpu_hour": 2.5, "hour": 1}})
    assert caps.reached(2.0, 3.0) is None
    assert caps.reached(2.0, 3.3) == "caps.max_cost of 10 is reached"


@pytest.mark.parametrize(
    ("caps", "said"),
    [
        ({"max_hours": 0}, "greater than 0"),
        ({"max_trials": 0}, "greater than or equal to 1"),
        ({"max_gpu_hours": 0}, "greater than 0"),
        ({"max_cost": 0, "prices": {"gpu_hour": 2.5}}, "greater than 0"),
        ({"max_cost": 3}, "max_cost needs prices"),
    ],
)
def test_caps_of_nothing_are_refused(
    study_values: dict[str, Any], caps: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        StudySpec.model_validate({**study_values, "caps": caps})


def test_an_uncapped_study_is_recorded_as_before(study_values: dict[str, Any]) -> None:
    assert "caps" not in StudySpec.model_validate(study_values).model_dump(mode="json")
