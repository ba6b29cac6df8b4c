"""Density of the predicted probabilities of the positives, or of the negatives, of a group."""

from __future__ import annotations

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.curves.group_images import GroupImages


def score_density(images: GroupImages, edge_T: Floats, positive: bool) -> Floats:
    """Weighted histogram of a class whose integral is 1, [T - 1]; mean over seeds.

    NaN where the class has no image.
    """
    own_n = images.positive_n == positive
    weight_n = images.weight_n[own_n]
    if not weight_n.sum():
        return np.full(len(edge_T) - 1, np.nan)
    densities = [
        np.histogram(score_n[own_n], edge_T, weights=weight_n, density=True)[0]
        for score_n in images.score_Sn
    ]
    return np.mean(densities, axis=0)
