"""Protocol `glocker`: the test set of Glocker et al. (2022), which the paper says it follows.

Three weighted draws with replacement (their notebook chexpert.resample): (1) all images, so that
race groups are of equal size; (2) within each race, so that the disease (No Finding, Pleural
Effusion, other) is as frequent as in the whole split; (3) within each race and disease, so that the
age bins (to 20, decades, above 80) are as frequent as in that disease in the whole split. One test
set serves all pathologies. Sex is not balanced, nor is any other pathology: that is what `balanced`
and `resample` are for. The notebook's rows depend on the order of its table; here they depend on
the seed and the images by id, so that only the distribution is the published one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import GLOCKER_ATTRIBUTES, GLOCKER_LABELS, EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Ints
from fairfm_core.evaluation.groups import attribute_names
from fairfm_core.evaluation.predictions import SplitImages
from fairfm_core.evaluation.protocols.balanced import balancing_groups
from fairfm_core.evaluation.protocols.resample import DrawnWeighting, draw
from fairfm_core.seeding import stream

RACE, AGE = GLOCKER_ATTRIBUTES
EFFUSION, NO_FINDING = GLOCKER_LABELS
AGE_TOPS = (20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0)  # the last year of each bin but the oldest


@dataclass(frozen=True, eq=False)
class Drawable:
    """What the draws look at, of the images that have all of it: their places in the split."""

    place_n: Ints
    race_n: Ints
    disease_n: Ints
    age_bin_n: Ints

    def three_draws(self, race_n: Ints, size_factor: float, random: np.random.Generator) -> Ints:
        """How often each image is drawn, if these are their races."""
        drawn_n = draw(1 / np.bincount(race_n)[race_n], size_factor, random)
        for race in np.unique(race_n):
            member_n = np.flatnonzero(race_n == race)
            self._redraw(drawn_n, member_n, self.disease_n, self.disease_n, random)
            for disease in np.unique(self.disease_n[member_n]):
                ill_n = self.disease_n == disease
                member_m = member_n[ill_n[member_n]]
                self._redraw(drawn_n, member_m, self.age_bin_n, self.age_bin_n[ill_n], random)
        return drawn_n

    @staticmethod
    def _redraw(
        drawn_n: Ints, member_m: Ints, value_n: Ints, wanted: Ints, random: np.random.Generator
    ) -> None:
        """As many draws among the members' copies, by weights that spread values as `wanted`."""
        copies_m, value_m = drawn_n[member_m], value_n[member_m]
        if not copies_m.sum():
            return
        share_V = np.bincount(wanted, minlength=value_n.max() + 1) / len(wanted)
        held_V = np.bincount(value_m, weights=copies_m, minlength=len(share_V))
        weight_V = np.divide(share_V, held_V, out=np.zeros_like(share_V), where=held_V > 0)
        weight_m = copies_m * weight_V[value_m]
        drawn_n[member_m] = random.multinomial(copies_m.sum(), weight_m / weight_m.sum())


def glocker(images: SplitImages, settings: EvaluationSettings) -> DrawnWeighting:
    """The three draws for a split; BadInput without race, age or one of the two labels."""
    drawable = drawable_images(images, settings)
    place_n, count = drawable.place_n, len(images.frame)
    multiplicity_N = np.zeros(count, dtype=np.int64)
    if len(place_n):
        random = stream(settings.resample_seed, "glocker")
        drawn_n = drawable.three_draws(drawable.race_n, settings.resample_factor, random)
        multiplicity_N[place_n] = drawn_n
    nobody = None if len(place_n) else "no draw: no image has a race, an age and both labels"
    without = count - len(place_n)
    return DrawnWeighting(
        images,
        (multiplicity_N > 0) & ~np.isnan(images.label_PN),
        (nobody,) * len(images.pathologies),
        None,
        f"{without} images without race, age or a label of the draw weigh 0" if without else None,
        multiplicity_PN=np.tile(multiplicity_N, (len(images.pathologies), 1)),
    )


def drawable_images(images: SplitImages, settings: EvaluationSettings) -> Drawable:
    """The images of a split that have all that the draws look at."""
    known = attribute_names(images.frame)
    if lacking := [name for name in (RACE, AGE) if name not in known]:
        raise BadInput(
            f"protocol glocker draws by {RACE} and {AGE}, but the predictions have no"
            f" {lacking[0]!r}: use another protocol, such as resample"
        )
    race, age = balancing_groups(images, (RACE, AGE), settings.age_edges)
    if not pd.api.types.is_numeric_dtype(images.frame[AGE]):
        raise BadInput("protocol glocker draws by age in years, but column 'age' is not numeric")
    disease_N = _diseases(images)
    place_n = np.flatnonzero((race.code_N >= 0) & (age.code_N >= 0) & (disease_N >= 0))
    years_n = images.frame[AGE].to_numpy(dtype=np.float64, na_value=np.nan)[place_n]
    age_bin_n = np.searchsorted(AGE_TOPS, years_n)
    return Drawable(place_n, race.code_N[place_n], disease_N[place_n], age_bin_n)


def _diseases(images: SplitImages) -> Ints:
    """0 no finding, 1 effusion (which takes precedence), 2 other; -1 where a label is unknown."""
    for name in (EFFUSION, NO_FINDING):
        if name not in images.pathologies:
            raise BadInput(
                f"protocol glocker draws by {EFFUSION} and {NO_FINDING}, but the predictions have"
                f" no {name!r}: use protocol resample, which draws for each pathology separately"
            )
    effusion_N = images.label_PN[images.pathologies.index(EFFUSION)]
    no_finding_N = images.label_PN[images.pathologies.index(NO_FINDING)]
    disease_N = np.where(effusion_N == 1, 1, np.where(no_finding_N == 1, 0, 2))
    disease_N[np.isnan(effusion_N) | np.isnan(no_finding_N)] = -1
    return disease_N
