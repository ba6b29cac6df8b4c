"""Protocol `resample`: a test set of its own for each pathology, drawn with replacement.

The paper's description, read as one weighted draw whose probabilities are the weights of
`balanced`: the same in expectation, with the noise of the draw on top. The notebook that the paper
cites does something else: see `glocker.py`.

A draw is kept as multiplicities: how often each image is in the set. They are whole-number
weights of the original images, so an interval resamples patients of the original split and never
takes copies for people. Multiplicities are a function of the seed and of the images by id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.predictions import SplitImages
from fairfm_core.evaluation.protocols.balanced import balanced
from fairfm_core.evaluation.protocols.weighting import Weighting
from fairfm_core.seeding import stream


@dataclass(frozen=True, eq=False, kw_only=True)
class DrawnWeighting(Weighting):
    """Multiplicities of one drawn test set per pathology."""

    multiplicity_PN: Ints

    @property
    def member_N(self) -> Bools:
        """Images in the test set of any pathology."""
        member_N: Bools = np.any(self.multiplicity_PN > 0, axis=0)
        return member_N

    def weights_N(self, p: int) -> Floats:
        """How often each labelled image is in the test set of pathology `p`."""
        weight_N: Floats = np.where(self.counted_PN[p], self.multiplicity_PN[p], 0.0)
        return weight_N

    def multiplicity_N(self, p: int) -> Ints | None:
        """The multiplicities: a patient drawn twice brings all its copies twice."""
        multiplicity_N: Ints = self.multiplicity_PN[p]
        return multiplicity_N


def resampled(images: SplitImages, settings: EvaluationSettings) -> DrawnWeighting:
    """Multiplicities of one draw per pathology, `resample_factor` times as large as the split."""
    source = balanced(images, settings)
    multiplicity_PN = np.zeros(images.label_PN.shape, dtype=np.int64)
    for p, pathology in enumerate(images.pathologies):
        if not source.undefined_P[p]:
            random = stream(settings.resample_seed, "resample", pathology)
            multiplicity_PN[p] = draw(source.weights_N(p), settings.resample_factor, random)
    return DrawnWeighting(
        images,
        multiplicity_PN > 0,
        source.undefined_P,
        source.cells,
        source.note,
        multiplicity_PN=multiplicity_PN,
    )


def draw(weight_N: npt.NDArray[Any], size_factor: float, random: np.random.Generator) -> Ints:
    """How often each image is drawn, by its weight, with replacement.

    `size_factor` draws are made for each image that can be drawn.
    """
    weight_N = weight_N.astype(np.float64)
    draws = round(size_factor * np.count_nonzero(weight_N))
    drawn_N: Ints = random.multinomial(draws, weight_N / weight_N.sum())
    return drawn_N
