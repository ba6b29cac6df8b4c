"""Which images of a training split an adaptation sees: a share of its patients, balanced groups.

A balanced training set has equal numbers of images from every group (section 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.config.methods.samplings import SAMPLINGS
from fairfm_core.config.named_records import imported
from fairfm_core.data.cohort import attributes
from fairfm_core.data.groups import MOST_GROUPS, Grouping, combinations, grouping, has_groups
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.seeding import stream, stream_seed

COMPOSITION = ("attribute", "group", "images", "kept", "share", "kept_share")


def sampled(
    sampling: str,
    frame: pd.DataFrame,
    attribute: str | Sequence[str] | None,
    age_edges: Sequence[float],
    seed: int,
    fraction: float = 1.0,
) -> NDArray[np.int64]:
    """Positions in a training split's `frame`, ascending, of the images that a sampling keeps.

    It samples the images of a `fraction` of the patients. `attribute` is what `data.balance` names;
    None for a sampling that does not depend on groups. Raises BadInput for a frame that the
    sampling cannot sample.
    """
    inside_N = share_of_patients(frame["patient_id"], fraction, seed)
    if not len(inside_N):
        raise BadInput(
            f"data.fraction {fraction:g} leaves no patient of {frame['patient_id'].nunique()} in "
            "the training split: give a larger share"
        )
    share = frame if len(inside_N) == len(frame) else frame.iloc[inside_N]
    kept: NDArray[np.int64] = imported(SAMPLINGS[sampling].work)(share, attribute, age_edges, seed)
    return inside_N[kept]


def share_of_patients(patient: pd.Series, fraction: float, seed: int) -> NDArray[np.int64]:
    """Positions, ascending, of the images of a share of the patients, rounded to whole patients.

    Patients are ordered by a random number of the seed and their id, and the first are taken: a
    smaller share is part of a larger one, whatever the order of rows.
    """
    if fraction == 1:
        return np.arange(len(patient))
    code_N, patients = pd.factorize(patient)
    place_P = np.array([stream_seed(seed, "share", each) for each in patients])
    taken = np.argsort(place_P, kind="stable")[: round(fraction * len(patients))]
    return np.flatnonzero(np.isin(code_N, taken))


def balanced_subset(
    frame: pd.DataFrame, attribute: str | Sequence[str], age_edges: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Positions in `frame`, ascending, of a subset balanced over an attribute (section 4.3).

    Every group keeps as many images as the smallest group has, drawn without replacement; images
    whose group is null are left out. With several attributes every combination of groups keeps that
    many, such as race x sex. Which images are kept depends on the seed and the images' ids, never
    on the order of rows; each group is drawn by a random stream of its own.

    Args:
        frame: a training split.
        attribute: one attribute or several.
        age_edges: inner edges of the age bins in years, those of the study's evaluation.
        seed: of the draw.

    Raises:
        BadInput: no such attribute, fewer than two groups, too many values to be groups, or a
            combination of groups that no image has.
    """
    groups = training_groups(frame, attribute, age_edges)
    smallest = groups.sizes_G.min()
    ids = frame["image_id"].to_numpy(dtype=object)
    kept = []
    for g, name in enumerate(groups.names):
        members = np.flatnonzero(groups.code_N == g)
        members = members[np.argsort(ids[members])]
        order = stream(seed, "balanced", groups.attribute, name).permutation(len(members))
        kept.append(members[order[:smallest]])
    return np.sort(np.concatenate(kept)).astype(np.int64)


def training_groups(
    frame: pd.DataFrame,
    attribute: str | Sequence[str],
    age_edges: Sequence[float],
    setting: str = "data.balance",
) -> Grouping:
    """The groups of an attribute, or every combination of those of several.

    `setting` is the key of a study that names the attribute: errors begin with it. Raises BadInput
    as `balanced_subset` does.
    """
    names = [attribute] if isinstance(attribute, str) else sorted(attribute)
    try:
        return _checked_combinations(frame, names, age_edges)
    except BadInput as error:
        raise BadInput(f"{setting}: {error}") from error


def _checked_combinations(
    frame: pd.DataFrame, names: Sequence[str], age_edges: Sequence[float]
) -> Grouping:
    groups = combinations([_checked_groups(frame, name, age_edges) for name in names])
    empty = sorted(groups.names[g] for g in np.flatnonzero(groups.sizes_G == 0))
    if empty:
        raise BadInput(
            f"no training image is {first_ten(empty)}, but images of every combination of"
            f" {groups.attribute} are needed: name one attribute"
        )
    return groups


def whole_split(
    frame: pd.DataFrame,
    attribute: str | Sequence[str] | None,
    age_edges: Sequence[float],
    seed: int,
) -> NDArray[np.int64]:
    """Positions of all rows of `frame`: standard sampling."""
    return np.arange(len(frame))


def composition(
    frame: pd.DataFrame, kept: NDArray[np.int64], age_edges: Sequence[float]
) -> pd.DataFrame:
    """What a subset does to every attribute: one row per group, before and after.

    Columns: `attribute, group, images, kept, share, kept_share`; shares are of the images whose
    group is known. Under-sampling one attribute moves the others too (section 4.3: balancing race
    makes sex more even, because White patients are the most male of the three).
    """
    records = []
    for attribute in attributes(frame):
        if not has_groups(frame, attribute):
            continue
        groups = grouping(frame, attribute, age_edges)
        before_G = groups.sizes_G
        after_G = Grouping(attribute, groups.names, groups.code_N[kept]).sizes_G
        shares_G, kept_shares_G = before_G / before_G.sum(), after_G / max(1, after_G.sum())
        columns = (groups.names, before_G, after_G, shares_G, kept_shares_G)
        records += sorted((attribute, *row) for row in zip(*columns, strict=True))
    return pd.DataFrame(records, columns=COMPOSITION)


def _checked_groups(frame: pd.DataFrame, attribute: str, age_edges: Sequence[float]) -> Grouping:
    known = attributes(frame)
    if attribute not in known:
        raise BadInput(
            f"attribute {attribute!r} is not in the cohort{did_you_mean(attribute, known)}; "
            f"it has {', '.join(known) or 'none'}"
        )
    if not has_groups(frame, attribute):
        raise BadInput(
            f"attribute {attribute!r} has {frame[attribute].nunique()} values, more than "
            f"{MOST_GROUPS}: name an attribute with groups, such as one of {', '.join(known)}"
        )
    groups = grouping(frame, attribute, age_edges)
    if len(groups.names) < 2:
        raise BadInput(
            f"attribute {attribute!r} has only the group {groups.names[0]} here, but two "
            f"are needed; the cohort has {', '.join(known)}"
        )
    return groups
