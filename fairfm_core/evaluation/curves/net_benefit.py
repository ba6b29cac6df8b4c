"""Net benefit: what acting on a prediction is worth, at every threshold that a clinician may have.

    net benefit(t) = TP / n - FP / n * t / (1 - t)

An image is called positive if its score is at or above t; whoever acts at t holds one true positive
to be worth (1 - t) / t false ones. TP, FP and n are weights of images, so it is in units of true
positives per image. It compares with acting on everybody, q - (1 - q) t / (1 - t) at prevalence q,
and on nobody, 0. It presumes calibrated probabilities.

Source: Vickers and Elkin, Medical Decision Making 26 (2006) 565.

Array suffixes: n images, T thresholds, B draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.curves.group_images import GroupImages
from fairfm_core.evaluation.metrics import ratio


@dataclass(frozen=True, eq=False)
class NetBenefit:
    """The decision curve of one group: of the data, then of every draw, [1 + B, T]."""

    model_BT: Floats
    """Acting on images at or above the threshold; mean over seeds."""
    everybody_BT: Floats
    """Acting on all images."""


def net_benefit(images: GroupImages, threshold_T: Floats) -> NetBenefit:
    """The decision curve at thresholds in 0..1, 1 excluded; NaN where a draw has no image."""
    assert (threshold_T < 1).all(), "acting at certainty alone has no price"
    positive_n1 = images.positive_n[:, None].astype(np.float64)
    share_nT = (images.score_Sn[..., None] >= threshold_T).mean(axis=0)
    price_T = threshold_T / (1 - threshold_T)
    worth_nT = positive_n1 - (1 - positive_n1) * price_T
    ones_n1 = np.ones_like(positive_n1)
    sum_BT = images.drawn_sums(np.concatenate([share_nT * worth_nT, worth_nT, ones_n1], axis=1))
    count = len(threshold_T)
    everybody_B1 = np.broadcast_to(sum_BT[:, -1:], (len(sum_BT), count))
    return NetBenefit(
        ratio(sum_BT[:, :count], everybody_B1),
        ratio(sum_BT[:, count : 2 * count], everybody_B1),
    )
