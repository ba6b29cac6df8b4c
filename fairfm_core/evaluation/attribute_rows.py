"""Rows of the tidy tables for one attribute of one split: its subgroup AUCs and its gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.auc import Floats
from fairfm_core.evaluation.cells import CellCounts
from fairfm_core.evaluation.fairness import GAP_DEFINITIONS, group_means, null_of, worst_and_best
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.intervals import percentile_interval
from fairfm_core.evaluation.records import Row
from fairfm_core.evaluation.sample import Sample
from fairfm_core.evaluation.weighting import Weighting

MEAN = "mean"


@dataclass(frozen=True, eq=False)
class AttributeAucs:
    """Subgroup AUCs of one attribute: as observed and in every bootstrap replicate."""

    sample: Sample
    weighting: Weighting
    groups: Groups
    counts: CellCounts
    value_SPG: Floats
    replicate_BSPG: Floats
    confidence: float

    @property
    def undefined(self) -> str | None:
        """Why numbers that need every group are undefined, naming the groups; None if they are."""
        if not self.groups.names:
            return f"no image has a value of {self.groups.attribute}"
        reasons = [
            f"{self.groups.attribute}={name} undefined for {why}"
            for g, name in enumerate(self.groups.names)
            if (why := self.counts.undefined(self.sample.pathologies, g))
        ]
        return "; ".join(reasons) or None


def metric_rows(aucs: AttributeAucs) -> list[Row]:
    """AUC of every pathology x group and of their mean; worst-group AUC of a real attribute."""
    rows: list[Row] = []
    for g, group in enumerate(aucs.groups.names):
        for p, pathology in enumerate(aucs.sample.pathologies):
            key = {"pathology": pathology, "group": group, "metric": "auc"}
            value, replicates = aucs.value_SPG[:, p, g], aucs.replicate_BSPG[:, :, p, g]
            counts = _cell_counts(aucs, p, g)
            reason = aucs.counts.reason_PG[p, g]
            rows.append(key | counts | _estimate(aucs, value, replicates, reason))
        rows.append(_mean_row(aucs, g))
    rows += _worst_group_rows(aucs)
    return [{"attribute": aucs.groups.attribute, **row} for row in rows]


def gap_rows(aucs: AttributeAucs, permuted_BSPG: Floats) -> list[Row]:
    """One row per definition of the gap, with interval, null, p-value and excess over the null."""
    return [_gap_row(aucs, permuted_BSPG, definition) for definition in GAP_DEFINITIONS]


def _cell_counts(aucs: AttributeAucs, p: int, g: int) -> Row:
    return {
        "n": aucs.counts.images_PG[p, g],
        "n_patients": aucs.counts.patients_PG[p, g],
        "n_positive": aucs.counts.positives_PG[p, g],
    }


def _group_counts(aucs: AttributeAucs, g: int) -> Row:
    """Counts of a whole group, labelled or not; positives of a mean have no meaning."""
    member_N = (aucs.groups.code_N == g) & aucs.weighting.member_N
    patients = len(np.unique(aucs.sample.patient_N[member_N]))
    return {"n": int(member_N.sum()), "n_patients": patients, "n_positive": None}


def _mean_row(aucs: AttributeAucs, g: int) -> Row:
    why = aucs.counts.undefined(aucs.sample.pathologies, g)
    value_S = aucs.value_SPG[:, :, g].mean(axis=-1)
    replicate_BS = aucs.replicate_BSPG[:, :, :, g].mean(axis=-1)
    row = {"pathology": MEAN, "group": aucs.groups.names[g], "metric": "auc"}
    reason = _and(f"undefined for {why}" if why else None, aucs.weighting.note)
    return row | _group_counts(aucs, g) | _estimate(aucs, value_S, replicate_BS, reason)


def _worst_group_rows(aucs: AttributeAucs) -> list[Row]:
    """Smallest mean AUC of a group, sought anew in every seed and replicate; names the group."""
    if len(aucs.groups.names) < 2:
        return []
    extremes = worst_and_best(aucs.value_SPG.mean(axis=0), aucs.groups.names)
    worst = extremes[0] if extremes else None
    nobody = {"n": None, "n_patients": None, "n_positive": None}
    counts = _group_counts(aucs, aucs.groups.names.index(worst)) if worst else nobody
    value_S = group_means(aucs.value_SPG).min(axis=-1)
    replicate_BS = group_means(aucs.replicate_BSPG).min(axis=-1)
    row = {"pathology": MEAN, "group": worst, "metric": "worst_group_auc"}
    return [row | counts | _estimate(aucs, value_S, replicate_BS, aucs.undefined)]


def _gap_row(aucs: AttributeAucs, permuted_BSPG: Floats, definition: str) -> Row:
    row: Row = {"metric": "auc", "attribute": aucs.groups.attribute, "definition": definition}
    why = aucs.undefined
    if not why and len(aucs.groups.names) < 2:
        why = f"{aucs.groups.attribute} has one group only: {aucs.groups.names[0]}"
    if why:
        return row | _undefined_gap(_and(why, _left_out(aucs)))
    gap = GAP_DEFINITIONS[definition]
    estimate = _estimate(aucs, gap(aucs.value_SPG), gap(aucs.replicate_BSPG), _left_out(aucs))
    null = null_of(estimate["value"], gap(permuted_BSPG).mean(axis=-1), aucs.confidence)
    extremes = worst_and_best(aucs.value_SPG.mean(axis=0), aucs.groups.names)
    assert extremes is not None, "a defined gap has a worst and a best group"
    row |= estimate | {"null_mean": null.mean, "null_hi": null.hi, "p_value": null.p_value}
    row |= {"excess": estimate["value"] - null.mean, "reason": _and(estimate["reason"], null.note)}
    return row | {"worst_group": extremes[0], "best_group": extremes[1]}


def _undefined_gap(reason: str | None) -> Row:
    numbers = ("value", "lo", "hi", "null_mean", "null_hi", "p_value", "excess")
    return dict.fromkeys((*numbers, "worst_group", "best_group")) | {"reason": reason}


def _left_out(aucs: AttributeAucs) -> str | None:
    """Images without a group are left out of every gap; how many is said."""
    without = aucs.groups.without
    left_out = f"{without} images without {aucs.groups.attribute} left out" if without else None
    return _and(left_out, aucs.weighting.note)


def _estimate(aucs: AttributeAucs, value_S: Floats, replicate_BS: Floats, why: str | None) -> Row:
    """Mean over seeds with its percentile interval; an undefined value has no interval."""
    value = float(value_S.mean())
    if np.isnan(value):
        return {"value": None, "lo": None, "hi": None, "reason": why}
    interval = percentile_interval(replicate_BS.mean(axis=-1), aucs.confidence)
    reason = _and(why, interval.note)
    return {"value": value, "lo": interval.lo, "hi": interval.hi, "reason": reason}


def _and(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None
