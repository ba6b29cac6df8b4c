"""What a sweep brings up to date when it starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fairfm_core.config.trial import Trial
from sweeps.planning.plan import StudyPlan
from sweeps.planning.records import TrialRecord
from sweeps.planning.study import StudySpec
from sweeps.tracking.runs import close_tracking, open_tracking, terms_of

from .conftest import IDENTITIES, SETTINGS, STUDY, database, points, runs, store_of, trial

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class FakeTrial:
    """All that tracking reads of a planned trial."""

    record: TrialRecord


@dataclass(frozen=True)
class FakePlan:
    """All that tracking reads of a plan."""

    spec: StudySpec
    trials: tuple[FakeTrial, ...]
    pretrainings: tuple[()] = ()


def sweep(results: Path, *records: TrialRecord) -> str | None:
    """A sweep whose trials are all finished; returns why MLflow is incomplete."""
    values = {"study": STUDY, "base": {}, "evaluation": SETTINGS.model_dump()}
    spec = StudySpec.model_validate(values)
    plan: StudyPlan = FakePlan(spec, tuple(map(FakeTrial, records)))  # type: ignore[assignment]
    done = {fingerprint for record in records for fingerprint in record.stages}
    tracker = open_tracking(plan, done, store_of(results), database(results))
    with close_tracking(tracker):
        pass
    return tracker.degraded


def test_a_run_says_how_images_are_shown_and_how_long_it_trains() -> None:
    config = Trial.model_validate(
        {
            "weights": {"model": "mae", "file": "mae.pth"},
            "backbone": {"normalisation": {"mean": 0.53, "std": 0.23}},
            "adaptation": {"method": "end_to_end"},
            "data": {"dataset": "d"},
        }
    ).model_dump(mode="json")
    assert terms_of(config) == {
        "images.crop": "0.875",
        "images.normalisation": "mean 0.53, std 0.23",
        "images.interpolation": "bicubic",
        "training.epochs": "200",
        "training.batch_size": "128",
    }
    del config["backbone"]["interpolation"]  # as an earlier version recorded it
    assert terms_of(config)["images.interpolation"] == "bicubic"


def test_finished_runs_that_mlflow_lacks_are_written_once(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [trial(name) for name in IDENTITIES]
    assert sweep(results, *records) is None
    before = points(database(results))
    assert {name for name, _ in before} == set(IDENTITIES)
    assert sweep(results, *records) is None
    assert points(database(results)) == before
    assert not capsys.readouterr().err


def test_a_deleted_run_stays_deleted_and_a_renamed_trial_is_renamed(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    probe, tune = trial("probe.s0"), trial("tune.s0")
    sweep(results, probe, tune)
    MlflowClient(database(results)).delete_run(runs(database(results))[0].info.run_id)
    assert sweep(results, probe, replace(tune, name="full.s0")) is None
    assert [run.info.run_name for run in runs(database(results))] == ["full.s0"]
    assert capsys.readouterr().err == (
        "MLflow: 1 finished run was deleted: it stays deleted until `fairfm track sync`\n"
    )


def test_a_deleted_experiment_is_said_and_restored(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    sweep(results, trial("probe.s0"))
    before = points(database(results))
    MlflowClient(database(results)).delete_experiment(runs(database(results))[0].info.experiment_id)
    assert sweep(results, trial("probe.s0")) is None
    assert points(database(results)) == before
    assert capsys.readouterr().err == (
        f"MLflow: experiment fairfm-{STUDY} was deleted in MLflow: restored with its runs\n"
    )
