"""Runs in MLflow: every point once, whatever was killed, deleted or renamed in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.tracking.run_writer import RunWriter

from .conftest import OpenWriter, database, history, points, runs

pytestmark = pytest.mark.slow

ONE, TWO = "1" * 64, "2" * 64


def started(writer: RunWriter, identity: str = ONE, name: str = "one.s0") -> str:
    return writer.start(identity, name, "trial", {})


def test_epochs_repeated_after_a_kill_are_there_once(
    results: Path, open_writer: OpenWriter
) -> None:
    writer = open_writer(results)
    started(writer)
    writer.rows(ONE, history(3))
    later = [{**row, "time": row["time"] + 100} for row in history(5)]
    writer.rows(ONE, later[1:4])  # the same driver: a worker was lost
    resumed = open_writer(results)  # another driver
    started(resumed)
    resumed.rows(ONE, [later[3], later[4], later[4]])
    assert points(database(results))["one.s0", "train/loss"] == [(n, 1 / n) for n in range(1, 6)]


def test_a_final_value_is_logged_once_and_another_one_becomes_the_latest(
    results: Path, open_writer: OpenWriter
) -> None:
    writer = open_writer(results)
    started(writer)
    writer.final(ONE, {"test/auc": 0.8, "test/gap": float("inf")}, 1_000, [])
    for value in (0.9, 0.9, 0.8):
        writer = open_writer(results)
        started(writer)
        writer.final(ONE, {"test/auc": value}, 1_000, [])
        (run,) = runs(database(results))
        assert run.data.metrics == {"test/auc": value}
    assert sorted(points(database(results))["one.s0", "test/auc"]) == [(0, 0.8), (0, 0.8), (0, 0.9)]


def test_names_follow_their_trials(results: Path, open_writer: OpenWriter) -> None:
    writer = open_writer(results)
    started(writer, ONE, "a.s0")
    started(writer, TWO, "b.s0")
    writer = open_writer(results)
    writer.name_all({ONE: "b.s0", TWO: "a.s0"})  # labels swapped
    names = {run.data.tags["fairfm.fingerprint"]: run.info.run_name for run in runs_of(results)}
    assert names == {ONE: "b.s0", TWO: "a.s0"}
    new = "3" * 64
    writer.name_all({new: "a.s0", ONE: "b.s0"})  # the label a has another value
    started(writer, new, "a.s0")
    names = {run.data.tags["fairfm.fingerprint"]: run.info.run_name for run in runs_of(results)}
    assert names == {ONE: "b.s0", TWO: "a.s0.22222222", new: "a.s0"}
    again = open_writer(results)
    again.name_all({TWO: "a.s0", ONE: "b.s0"})  # and its old one again
    names = {run.data.tags["fairfm.fingerprint"]: run.info.run_name for run in runs_of(results)}
    assert names == {ONE: "b.s0", TWO: "a.s0", new: "a.s0.33333333"}


def runs_of(results: Path) -> list[object]:
    return runs(database(results))


def test_parameters_of_another_driver_are_kept(results: Path, open_writer: OpenWriter) -> None:
    started(open_writer(results))
    first, second = open_writer(results), open_writer(results)
    first.params(ONE, {"adaptation": "probe"})
    second.params(ONE, {"adaptation": "renamed", "seed": "0"})
    (run,) = runs(database(results))
    assert run.data.params == {"adaptation": "probe", "seed": "0"}


def test_two_runs_of_one_trial_become_one(results: Path, open_writer: OpenWriter) -> None:
    first, second = open_writer(results), open_writer(results)
    started(first)
    started(second)
    second.end(ONE, "FINISHED", 5_000)
    assert len(runs(database(results))) == 2
    writer = open_writer(results)
    assert writer.finished(ONE)
    assert writer.delete_repeated() == 1
    assert writer.delete_repeated() == 0
    assert [run.info.status for run in runs(database(results))] == ["FINISHED"]
    assert open_writer(results).deleted == set()


def test_a_deleted_run_is_known_and_started_anew(results: Path, open_writer: OpenWriter) -> None:
    from mlflow import MlflowClient

    MlflowClient(database(results)).delete_run(started(open_writer(results)))
    writer = open_writer(results)
    assert writer.deleted == {ONE}
    assert not writer.finished(ONE)
    started(writer)
    assert len(runs(database(results))) == 1
    assert len(runs(database(results), deleted=True)) == 1
    assert open_writer(results).deleted == set()


def test_a_run_that_somebody_made_by_hand_is_left_alone(
    results: Path, open_writer: OpenWriter
) -> None:
    from mlflow import MlflowClient

    writer = open_writer(results)
    MlflowClient(database(results)).create_run(writer.experiment, run_name="mine")
    writer = open_writer(results)
    writer.close_stale()
    writer.name_all({ONE: "mine"})
    (run,) = runs(database(results))
    assert (run.info.run_name, run.info.status) == ("mine", "RUNNING")


def test_a_killed_driver_leaves_no_run_running(results: Path, open_writer: OpenWriter) -> None:
    started(open_writer(results))
    open_writer(results).close_stale()
    (run,) = runs(database(results))
    assert run.info.status == "KILLED"
