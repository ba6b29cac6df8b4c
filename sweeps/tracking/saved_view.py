"""The saved view of a study's experiment in MLflow: what its page shows on the first visit.

A view is a tag of the experiment, in a format of MLflow's own pages: JSON, compressed, in base64,
inside JSON. This file alone knows it; `pyproject.toml` bounds MLflow's version for it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.tracking.run_writer import mlflow_key

KEY = "fairfm-front"
TAG = f"mlflow.sharedViewState.{KEY}"
NAME = "Front: AUC and gaps"
PACKED = "deflate;"
LIMIT = 20_000
"""Characters of an experiment's tag."""
MOST_RUNS = 500
"""Runs that a chart shows."""
MOST_LINES = 6
"""Lines of parallel coordinates that can be read beside each other."""
FRONT, PARALLEL, CURVES = "front", "parallel", "curves"
SECTIONS = {
    FRONT: "Test AUC against gaps",
    PARALLEL: "Axes and objectives",
    CURVES: "Training",
}
CURVE_METRICS = ("train/val_auc", "train/loss")


@dataclass(frozen=True)
class ViewedStudy:
    """What a view shows of a study: names of parameters and numbers."""

    axes: Sequence[str]
    """Parameters, the axes first, then what a search chose."""
    objectives: Sequence[str]
    """Numbers, without their split."""
    attributes: Sequence[str]

    @property
    def gaps(self) -> list[str]:
        """Numbers to draw against the AUC: other objectives, then each attribute's gap."""
        others = [name for name in self.objectives if name != "auc"]
        return list(dict.fromkeys([*others, *(f"gap_{each}" for each in self.attributes)]))


def view_link(server: str, experiment: str) -> str:
    """The address of an experiment's page with the saved view."""
    page = f"{server.rstrip('/')}/#/experiments/{experiment}/runs"
    return f"{page}?viewStateShareKey={KEY}&compareRunsMode=CHART"


def view_state(study: ViewedStudy) -> dict[str, Any]:
    """The state of MLflow's page: filter, order, columns and charts."""
    return {
        "searchFilter": "tags.`fairfm.kind` = 'trial'",
        "orderByKey": "metrics.`val/auc`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": _columns(study),
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": [*_front(study), *_parallel(study), *_curves()],
        "compareRunSections": [
            {
                "uuid": key,
                "name": title,
                "display": True,
                "isReordered": True,
                "deleted": False,
                "isGenerated": False,
            }
            for key, title in SECTIONS.items()
        ],
        "hideEmptyCharts": True,
        "useGroupedValuesInCharts": True,
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "groupBy": None,
    }


def packed_view(state: Mapping[str, Any], time: int) -> str:
    """The tag's value: the view with its name, dated `time` (ms since 1970)."""
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    body = PACKED + base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    value = json.dumps({"name": NAME, "createdAt": time, "updatedAt": time, "state": body})
    assert len(value) <= LIMIT, "a view is a few charts and columns"
    return value


def unpacked_view(value: str) -> dict[str, Any]:
    """The state in a tag's value; empty if it is not one of ours."""
    try:
        body = json.loads(value)["state"].removeprefix(PACKED)
        state = json.loads(zlib.decompress(base64.b64decode(body)))
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        return {}
    return state if isinstance(state, dict) else {}


def _columns(study: ViewedStudy) -> list[str]:
    gaps = [*study.gaps, *(f"worst_group_auc_{each}" for each in study.attributes)]
    metrics = ["val/auc", *(f"test/{name}" for name in ["auc", *gaps])]
    named = [f"metrics.`{mlflow_key(name)}`" for name in dict.fromkeys(metrics)]
    params = [f"params.`{axis}`" for axis in [*study.axes, "seed"]]
    return [*named, *params, "tags.`fairfm.front`"]


def _card(kind: str, section: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"{section}-{name}",
        "metricSectionId": section,
        "runsCountToCompare": MOST_RUNS,
        "displayName": name,
        "deleted": False,
        "isGenerated": False,
        **more,
    }


def _front(study: ViewedStudy) -> list[dict[str, Any]]:
    return [
        _card(
            "SCATTER",
            FRONT,
            f"AUC against {gap}",
            xaxis={"key": mlflow_key(f"test/{gap}"), "type": "METRIC"},
            yaxis={"key": "test/auc", "type": "METRIC"},
        )
        for gap in study.gaps
    ]


def _parallel(study: ViewedStudy) -> list[dict[str, Any]]:
    """The axes with the AUC, and the objectives with the first axis; the last line colours.

    Two charts, because MLflow draws all of them as wide, and more than six lines run together.
    """
    others = [mlflow_key(f"val/{name}") for name in study.objectives if name != "auc"]
    chosen = {
        "Axes and AUC (validation)": (study.axes[: MOST_LINES - 1], []),
        "Objectives (validation)": (study.axes[:1], others[: MOST_LINES - 2]),
    }
    return [
        _card(
            "PARALLEL",
            PARALLEL,
            title,
            selectedParams=list(axes),
            selectedMetrics=[*metrics, "val/auc"],
            showAllRuns=False,
        )
        for title, (axes, metrics) in chosen.items()
    ]


def _curves() -> list[dict[str, Any]]:
    return [
        _card("LINE", CURVES, name, metricKey=name, selectedMetricKeys=[name], xAxisKey="step")
        for name in CURVE_METRICS
    ]
