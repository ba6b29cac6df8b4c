"""Test protocols by name: how much each image of a split counts, never another forward pass.

full      every labelled image once
balanced  for each pathology, weights with equal totals and prevalence in every cell
resample  for each pathology, a draw with replacement by the balanced weights
glocker   the three draws of the published notebook, one test set for all pathologies
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.predictions import SplitImages
from fairfm_core.evaluation.protocols.balanced import balanced
from fairfm_core.evaluation.protocols.glocker import glocker
from fairfm_core.evaluation.protocols.resample import resampled
from fairfm_core.evaluation.protocols.weighting import Weighting, unweighted

PROTOCOLS: dict[str, Callable[[SplitImages, EvaluationSettings], Weighting]] = {
    "full": lambda images, settings: unweighted(images),
    "balanced": balanced,
    "resample": resampled,
    "glocker": glocker,
}


@lru_cache(maxsize=8)
def weighting_of(protocol: str, images: SplitImages, settings: EvaluationSettings) -> Weighting:
    """The weights of a split under a protocol, made once for all models of these images."""
    return PROTOCOLS[protocol](images, settings)
