"""Resampled training sets: equal numbers of images for every group of an attribute."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.data.cohort import attributes
from fairfm_core.data.groups import MOST_GROUPS, groups_of
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.seeding import stream


def balanced_subset(frame: pd.DataFrame, attribute: str, seed: int) -> NDArray[np.int64]:
    """Positions in `frame`, ascending, of a subset balanced over an attribute (section 4.3).

    Every group keeps as many images as the smallest has, drawn without replacement; rows whose
    group is null are left out, and age is taken in its bins. Which images are kept depends on the
    seed and the images' ids, never on the order of rows.

    Raises:
        BadInput: no such attribute, fewer than two groups, or too many values to be groups.
    """
    known = attributes(frame)
    if attribute not in known:
        raise BadInput(
            f"attribute {attribute!r} is not in the cohort{did_you_mean(attribute, known)}; "
            f"it has {', '.join(known) or 'none'}"
        )
    groups = groups_of(frame, attribute)
    if groups is None:
        raise BadInput(
            f"attribute {attribute!r} has {frame[attribute].nunique()} values, more than "
            f"{MOST_GROUPS}: balance an attribute of groups, such as one of {', '.join(known)}"
        )
    sizes = groups.value_counts()
    if len(sizes) < 2:
        raise BadInput(
            f"attribute {attribute!r} has only the group {', '.join(sizes.index)} here: balancing "
            f"needs two; the cohort has {', '.join(known)}"
        )
    ids = frame["image_id"].to_numpy(dtype=object)
    kept = []
    for group in sorted(sizes.index):
        members = np.flatnonzero((groups == group).to_numpy())
        members = members[np.argsort(ids[members])]
        order = stream(seed, "balanced", attribute, group).permutation(len(members))
        kept.append(members[order[: sizes.min()]])
    return np.sort(np.concatenate(kept)).astype(np.int64)
