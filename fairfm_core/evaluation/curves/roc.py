"""ROC: the highest true positive rate that a false positive rate of at most x allows."""

from __future__ import annotations

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.curves.group_images import GroupImages
from fairfm_core.evaluation.operating_points import curve_of


def roc(images: GroupImages, fpr_T: Floats) -> Floats:
    """True positive rate at each false positive rate in 0..1, [T]; mean over seeds.

    Averages of curves are vertical (Fawcett, Pattern Recognition Letters 27 (2006) 861): seeds have
    no common thresholds. Both classes must have weight.
    """
    return np.mean([_one_seed(images, score_n, fpr_T) for score_n in images.score_Sn], axis=0)


def _one_seed(images: GroupImages, score_n: Floats, fpr_T: Floats) -> Floats:
    curve = curve_of(score_n, images.positive_n, images.weight_n)
    # Sums of weights may exceed their total by rounding.
    place_T = np.searchsorted(curve.fpr_T, fpr_T + 1e-12, side="right") - 1
    return curve.tpr_T[place_T]
