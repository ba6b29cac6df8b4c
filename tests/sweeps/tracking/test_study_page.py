"""What people see first of a study in MLflow: view, description, its own run, the front's tags."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sweeps.tracking.saved_view import (
    SECTIONS,
    ViewedStudy,
    packed_view,
    unpacked_view,
    view_state,
)
from sweeps.tracking.study_page import FILES, source_tags, viewed

from ...warm.starting import warm_fairfm
from ..commands.test_track import free, start_ui, sync
from .conftest import IDENTITIES, STUDY, OpenWriter, database, runs, trial

OBJECTIVES = ["auc", "gap_sex"]
FRONT = """label,adaptation,group,on_front
tune,tune,dddddddddddddddddddd,True
probe,probe,cccccccccccccccccccc,False
"""


def view() -> ViewedStudy:
    return ViewedStudy(["adaptation"], OBJECTIVES, ["sex"])


def with_front(results: Path) -> Path:
    """The folder after `fairfm pareto` and `fairfm report`."""
    folder = results / "studies" / STUDY
    (folder / "front.csv").write_text(FRONT)
    (folder / "front.svg").write_text("<svg/>")
    (folder / "report.html").write_text("<h1>the report</h1>")
    return results


def keys_of(chart: dict[str, Any]) -> set[str]:
    """The metrics that a chart draws."""
    axes = [chart[axis]["key"] for axis in ("xaxis", "yaxis") if axis in chart]
    return {*axes, *chart.get("selectedMetrics", []), *chart.get("selectedMetricKeys", [])}


def test_a_view_survives_its_packing_and_names_numbers_that_are_logged(results: Path) -> None:
    state = view_state(view())
    assert unpacked_view(packed_view(state, 5)) == state
    assert unpacked_view("something else") == {}
    sync(results)
    held = runs(database(results))[0].data
    drawn = {key for chart in state["compareRunCharts"] for key in keys_of(chart)}
    columns = {c.split("`")[1] for c in state["selectedColumns"] if c.startswith("metrics")}
    assert drawn | columns <= set(held.metrics)
    assert {"adaptation", "seed"} <= set(held.params)


def named(results: Path) -> dict[str, Any]:
    """MLflow's runs by name."""
    return {run.info.run_name: run for run in runs(database(results))}


@pytest.mark.slow
def test_a_study_has_a_run_with_its_files_and_front_members_a_tag(results: Path) -> None:
    sync(with_front(results))
    held = named(results)
    study, tune, probe = held["study tiny"], held["tune.s0"].data.tags, held["probe.s0"].data.tags
    assert study.data.metrics == {"front/members": 1, "front/configurations": 2}
    assert study.data.tags["fairfm.kind"] == "study"
    assert "fairfm.front" not in probe
    assert tune["fairfm.front"] == "1"
    assert tune["mlflow.runColor"] != probe["mlflow.runColor"]
    (report,) = (results / "mlartifacts").rglob("report.html")
    assert {path.name for path in report.parent.iterdir()} == {*FILES} - {"front.pdf"}
    sync(results)
    assert named(results)["study tiny"].info.end_time == study.info.end_time
    (results / "studies" / STUDY / "front.csv").write_text(FRONT.replace("True", "False"))
    sync(results)
    assert "fairfm.front" not in named(results)["tune.s0"].data.tags


def test_axes_are_named_by_their_last_part_and_not_by_what_a_study_includes() -> None:
    axes = {"data.sampling": "standard", "include": "scratch"}
    record = replace(trial("probe.s0"), axes=axes)
    assert viewed([record], OBJECTIVES, ["sex"]).axes == ["sampling"]


def test_the_source_of_a_run_names_its_commit() -> None:
    assert source_tags("0.1.0 abc123+dirty")["mlflow.source.git.commit"] == "abc123"
    assert "mlflow.source.git.commit" not in source_tags("0.1.0")


@pytest.mark.slow
def test_a_new_run_expects_its_objectives_before_the_first_epoch(
    results: Path, open_writer: OpenWriter
) -> None:
    writer, identity = open_writer(results), IDENTITIES["probe.s0"]
    writer.start(identity, "probe.s0", "trial", {})
    writer.expect(identity, ["val/auc"])
    writer.data(identity, "phantom", "9" * 64, "train, val, test")
    writer.rows(identity, [{"epoch": 1, "time": 1e9, "loss": 0.5}])
    (run,) = runs(database(results))
    assert list(run.data.metrics) == ["val/auc", "train/loss"]
    assert math.isnan(run.data.metrics["val/auc"])
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("phantom", "9" * 36)
    again = open_writer(results)
    again.final(identity, {"val/auc": 0.8}, 5, [])
    again.data(identity, "phantom", "9" * 64, "train, val, test")
    again.start(identity, "probe.s0", "trial", {})
    again.expect(identity, ["val/auc"])
    (run,) = runs(database(results))
    assert run.data.metrics["val/auc"] == 0.8
    assert len(run.inputs.dataset_inputs) == 1


@pytest.fixture
def served(results: Path) -> Iterator[str]:
    """A real server over the study, with its front."""
    sync(with_front(results))
    port = free()
    process: subprocess.Popen[str] = start_ui(results, port, warm_fairfm())
    assert process.stdout is not None
    process.stdout.readline()
    yield process.stdout.readline().split(": ")[1].strip()
    process.send_signal(signal.SIGTERM)
    process.communicate()


@pytest.mark.browser
@pytest.mark.slow
def test_the_first_visit_shows_auc_gaps_and_axes(browser: Any, served: str, results: Path) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1400})
    page.set_default_timeout(120_000)
    page.goto(served.replace("&compareRunsMode=CHART", ""))
    page.get_by_text("test/worst_group_auc_sex").first.wait_for()
    assert page.get_by_text("2 matching runs").count()
    page.goto(served)
    for title in SECTIONS.values():
        page.get_by_text(title).first.wait_for()
    page.goto(compared(served, results))
    page.get_by_text("Clear All").first.wait_for()
    assert re.search(r"Metrics:\s+val/auc\s+Clear All", page.locator("body").inner_text())
    page.close()


def compared(served: str, results: Path) -> str:
    """The page that compares the trials."""
    held = runs(database(results))
    trials = [run.info.run_id for run in held if run.data.tags["fairfm.kind"] == "trial"]
    server, experiment = served.split("#")[0], held[0].info.experiment_id
    chosen = f"runs={quote(json.dumps(trials))}&experiments={quote(json.dumps([experiment]))}"
    return f"{server}#/compare-runs?{chosen}"
