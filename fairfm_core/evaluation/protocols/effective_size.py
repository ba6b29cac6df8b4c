"""How much evidence a protocol leaves in each group: the rows of `weights.parquet`.

Weighting and drawing images cost precision. Kish's effective sample size, (sum of w)^2 / sum of
w^2, is the number of equally weighted images that would be as informative; copies of an image add
nothing.
"""

from __future__ import annotations

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.protocols.weighting import Weighting
from fairfm_core.evaluation.tables import Row


def effective_size(weight_n: Floats) -> float:
    """Kish's effective sample size; 0 where no image has a weight."""
    squares = float(np.square(weight_n).sum())
    return float(weight_n.sum() ** 2 / squares) if squares else 0.0


def weight_rows(weighting: Weighting, groups: Groups) -> list[Row]:
    """One row for each pathology and group of an attribute."""
    rows, sample = [], weighting.images
    members = [np.flatnonzero(groups.code_N == g) for g in range(len(groups.names))]
    for p, pathology in enumerate(sample.pathologies):
        weight_N, label_N = weighting.weights_N(p), sample.label_PN[p]
        for name, member_n in zip(groups.names, members, strict=True):
            label_n = label_N[member_n]
            labelled = int(np.count_nonzero(~np.isnan(label_n)))
            row: Row = {"pathology": pathology, "attribute": groups.attribute, "group": name}
            row |= {"images": len(member_n), "labelled": labelled}
            if why := weighting.undefined_P[p]:
                rows.append(row | _undefined(why))
            else:
                rows.append(row | _numbers(weight_N[member_n], label_n == 1, weighting))
    return rows


def _numbers(weight_n: Floats, positive_n: np.ndarray, weighting: Weighting) -> Row:
    total, unique = float(weight_n.sum()), int((weight_n > 0).sum())
    return {
        "unique_images": unique,
        "duplicates": int(total) - unique if weighting.multiplicities else None,
        "weight_sum": total,
        "ess": effective_size(weight_n),
        "largest_weight": float(weight_n.max(initial=0.0)),
        "prevalence": float(weight_n[positive_n].sum()) / total if total else None,
        "reason": None,
    }


def _undefined(why: str) -> Row:
    numbers = ("unique_images", "duplicates", "weight_sum", "ess", "largest_weight", "prevalence")
    return dict.fromkeys(numbers) | {"reason": why}
