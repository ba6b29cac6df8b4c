"""Reliability: the share of positives among images with about the same predicted probability.

The bins are those of the calibration error (`ece`): the sum over bins of the weight times
|observed - predicted|, divided by all weights, is that metric. Images of all seeds are pooled
within a bin.

Source: Guo et al., ICML 2017; DeGroot and Fienberg, The Statistician 32 (1983) 12.

Array suffixes: S seeds, n images, T bins, B draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.curves.group_images import GroupImages
from fairfm_core.evaluation.kernels.sufficient_statistics import BINS
from fairfm_core.evaluation.metrics import ratio


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """The calibration curve of one group: of the data, then of every draw, [1 + B, T]."""

    predicted_BT: Floats
    """Mean predicted probability; NaN in an empty bin."""
    observed_BT: Floats
    """Share of positives; NaN in an empty bin."""
    weight_T: Floats
    """Weight of the images in each bin, in the data; mean over seeds."""
    images_T: Floats
    """Images in each bin, in the data; mean over seeds."""


def reliability_bins(images: GroupImages) -> ReliabilityBins:
    """Bins of equal width in 0..1, as many as the calibration error has."""
    bin_Sn = np.minimum((images.score_Sn * BINS).astype(np.int64), BINS - 1)
    inside_SnT = (bin_Sn[..., None] == np.arange(BINS)).astype(np.float64)
    share_nT = inside_SnT.mean(axis=0)
    score_nT = (inside_SnT * images.score_Sn[..., None]).mean(axis=0)
    positive_nT = share_nT * images.positive_n[:, None]
    columns = np.concatenate([share_nT, score_nT, positive_nT], axis=1)
    weight_BT, predicted_BT, observed_BT = np.split(images.drawn_sums(columns), 3, axis=1)
    return ReliabilityBins(
        ratio(predicted_BT, weight_BT),
        ratio(observed_BT, weight_BT),
        weight_BT[0],
        share_nT.sum(axis=0),
    )
