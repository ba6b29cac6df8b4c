"""Resampled training sets: equal numbers of images for every group of an attribute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.data.cohort import attributes
from fairfm_core.data.groups import MOST_GROUPS, groups_of
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.seeding import stream

JOINT = " x "
COMPOSITION = ("attribute", "group", "images", "kept", "share", "kept_share")


def balanced_subset(
    frame: pd.DataFrame, attribute: str | Sequence[str], seed: int
) -> NDArray[np.int64]:
    """Positions in `frame`, ascending, of a subset balanced over an attribute (section 4.3).

    Every group keeps as many images as the smallest has, drawn without replacement; rows whose
    group is null are left out, and age is taken in its bins. Of several attributes every
    combination of groups is kept alike, such as race x sex. Which images are kept depends on the
    seed and the images' ids, never on the order of rows.

    Raises:
        BadInput: no such attribute, fewer than two groups, too many values to be groups, or a
            combination of groups that no image has.
    """
    name, groups = _groups(frame, attribute)
    sizes = groups.value_counts()
    ids = frame["image_id"].to_numpy(dtype=object)
    kept = []
    for group in sorted(sizes.index):
        members = np.flatnonzero((groups == group).to_numpy())
        members = members[np.argsort(ids[members])]
        order = stream(seed, "balanced", name, group).permutation(len(members))
        kept.append(members[order[: sizes.min()]])
    return np.sort(np.concatenate(kept)).astype(np.int64)


def whole_split(
    frame: pd.DataFrame, attribute: str | Sequence[str] | None, seed: int
) -> NDArray[np.int64]:
    """Positions of all rows of `frame`: standard sampling."""
    return np.arange(len(frame))


def groups_of_rows(frame: pd.DataFrame, attribute: str | Sequence[str]) -> pd.Series:
    """The group of each row, null where unknown; raises BadInput as `balanced_subset` does."""
    return _groups(frame, attribute)[1]


def group_sizes(frame: pd.DataFrame, attribute: str | Sequence[str]) -> pd.Series:
    """Images of each group that `balanced_subset` makes alike; raises BadInput as it does."""
    return _groups(frame, attribute)[1].value_counts()


def composition(frame: pd.DataFrame, kept: NDArray[np.int64]) -> pd.DataFrame:
    """What a subset does to every attribute: one row per group, before and after.

    Columns: `attribute, group, images, kept, share, kept_share`; shares are of the images whose
    group is known. Under-sampling one attribute moves the others too (section 4.3: balancing race
    makes sex more even, because White patients are the most male of the three).
    """
    records = []
    for attribute in attributes(frame):
        groups = groups_of(frame, attribute)
        if groups is None:
            continue
        before, after = groups.value_counts().sort_index(), groups.iloc[kept].value_counts()
        for group, images in before.items():
            count = int(after.get(group, 0))
            shares = {"share": images / before.sum(), "kept_share": count / max(1, after.sum())}
            records.append(
                {"attribute": attribute, "group": group, "images": images, "kept": count} | shares
            )
    return pd.DataFrame(records, columns=COMPOSITION)


def _groups(frame: pd.DataFrame, attribute: str | Sequence[str]) -> tuple[str, pd.Series]:
    """The balancing attribute's name and the group of each row, or those of a combination."""
    names = [attribute] if isinstance(attribute, str) else sorted(attribute)
    parts = [_checked_groups(frame, name) for name in names]
    joint = parts[0]
    for part in parts[1:]:
        joint = joint.str.cat(part, sep=JOINT)
    wanted = pd.MultiIndex.from_product([sorted(part.dropna().unique()) for part in parts])
    combinations = {JOINT.join(group) for group in wanted} if len(parts) > 1 else set()
    if missing := sorted(combinations - set(joint.dropna())):
        raise BadInput(
            f"no image is {first_ten(missing)}: balancing {JOINT.join(names)} needs images of every"
            f" combination; balance one attribute"
        )
    return JOINT.join(names), joint


def _checked_groups(frame: pd.DataFrame, attribute: str) -> pd.Series:
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
    return groups
