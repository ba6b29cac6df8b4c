"""What a configuration is worth at a rung, from the stored histories of its training runs.

A history is that of a finished training, or what was noted when it paused. So the values are the
same whether or not a run was interrupted between a pause and the journal's line about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.stages import Stage
from sweeps.planning.expansion import ALWAYS_FOLLOWED
from sweeps.search.halving import RungTold

Row = Mapping[str, Any]
"""The values of an epoch, by name."""


def rung_told(
    store: ArtifactStore, training_runs: Sequence[Stage], epochs: int | None, metrics: Sequence[str]
) -> RungTold:
    """The means over `training_runs` of what each is worth at its end, or would have been worth if
    it had ended after `epochs`."""
    rows = [_row_at(store, stage, epochs) for stage in training_runs]
    fingerprints = tuple(stage.fingerprint for stage in training_runs)
    if any(row is None for row in rows):
        return RungTold(None, fingerprints)
    means = {metric: _mean([(row or {}).get(metric) for row in rows]) for metric in metrics}
    return RungTold(means, fingerprints)


def _row_at(store: ArtifactStore, stage: Stage, given: int | None) -> Row | None:
    """The epoch whose weights a training of this length would have kept; None where what was noted
    of it means something else, or where nothing was."""
    record = _record(store, stage)
    assert stage.followed is not None, "fine-tunings of studies are followed"
    if record.get("definition") != stage.followed.definition:
        return None
    recipe = EndToEnd.model_validate(stage.config["adaptation"])
    epochs = given or recipe.epochs
    rows = [row for row in record["history"] if row["epoch"] <= epochs]
    if len(rows) < epochs:
        return None
    row = _kept(rows, recipe)
    noted = ALWAYS_FOLLOWED in row or "val_auc" not in row
    return row if noted else None


def _record(store: ArtifactStore, stage: Stage) -> Mapping[str, Any]:
    if store.is_done("adapt", stage.fingerprint):
        return store.artifact("adapt", stage.fingerprint).read_json("history.json")
    return store.latest_pause(stage.fingerprint) or {}


def _kept(rows: Sequence[Row], recipe: EndToEnd) -> Row:
    """The last epoch, or the one with the best validation AUC, where the recipe keeps that."""
    aucs = [float(row.get("val_auc", np.nan)) for row in rows]
    if recipe.select != "val_best" or not np.isfinite(aucs).any():
        return rows[-1]
    return rows[int(np.nanargmax(aucs))]


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if len(defined) == len(values) else None
