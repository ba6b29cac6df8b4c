"""Test protocols by name: how much each image of a split counts, never another forward pass.

full      every labelled image once
balanced  for each pathology, weights with equal totals and prevalence in every cell
resample  for each pathology, a draw with replacement by the balanced weights
glocker   the three draws of the published notebook, one test set for all pathologies
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.predictions import Sample, sample_of
from fairfm_core.evaluation.protocols.balanced import balanced
from fairfm_core.evaluation.protocols.glocker import glocker
from fairfm_core.evaluation.protocols.resample import resampled
from fairfm_core.evaluation.protocols.weighting import Weighting, unweighted

PROTOCOLS: dict[str, Callable[[Sample, EvaluationSettings], Weighting]] = {
    "full": lambda sample, settings: unweighted(sample),
    "balanced": balanced,
    "resample": resampled,
    "glocker": glocker,
}


def case_weights(frame: pd.DataFrame, protocol: str, settings: EvaluationSettings) -> Floats:
    """Weights [P, N] of the images of one split, in the order of the rows of `frame`.

    `frame` is a table of predictions; pathologies are in the order of its label columns. An image
    that takes no part weighs 0, and so do all images where the protocol is undefined. The weight
    of an image does not depend on the order of rows.
    """
    order_N = np.argsort(frame["image_id"].astype(str).to_numpy(dtype=object))
    ordered = frame.iloc[order_N].reset_index(drop=True)
    names = tuple(str(name)[2:] for name in frame.columns if str(name).startswith("y_"))
    weighting = PROTOCOLS[protocol](sample_of([ordered], ordered["split"].iloc[0], names), settings)
    weights_PN = np.empty((len(names), len(frame)))
    for p in range(len(names)):
        weights_PN[p, order_N] = weighting.weights_N(p)
    return weights_PN
