"""Groups of a protected attribute among the images of a split.

Names, age bins and combinations come from `data/groups.py`; this module adds what an evaluation
needs: groups that occur only in another split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fairfm_core.data.groups import TIMES, Grouping, combinations, grouping
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.predictions import KEYS

Groups = Grouping
"""The groups of one attribute, or the combinations of several, and the group of each image."""


def groups_of(
    frame: pd.DataFrame,
    attribute: str,
    age_edges: tuple[float, ...],
    everywhere: pd.DataFrame | None = None,
) -> Groups:
    """The groups of `attribute` among the images of `frame`: age in bins, other values as they are.

    The groups of `everywhere` (the images of all splits) are included, so that a group absent from
    `frame` is a group without images and never silently left out of a gap. For several attributes,
    `race x sex`, the groups are the combinations that occur.

    Raises:
        BadInput: an attribute that `frame` lacks, or age edges that do not increase.
    """
    whole = frame if everywhere is None else everywhere
    if TIMES in attribute and attribute not in frame.columns:
        return _combinations(frame, attribute.split(TIMES), age_edges, whole)
    return _named_as(_known(frame, attribute, age_edges), _known(whole, attribute, age_edges))


def joint_groups(parts: Sequence[Grouping], images: int) -> Groups:
    """Every combination of the groups of several attributes, `Black x F`; without any, everybody.

    A combination that no image has is a group without members; an image that lacks one of the
    attributes belongs to none.
    """
    if not parts:
        return everybody(images)
    return combinations(parts)


def everybody(images: int) -> Groups:
    """The one group of all images: attribute `overall`, group `all`."""
    return Groups("overall", ("all",), np.zeros(images, dtype=np.int64))


def attribute_names(frame: pd.DataFrame) -> list[str]:
    """The attribute columns of a table of predictions: those that are not keys, labels or
    scores."""
    return [
        str(name)
        for name in frame.columns
        if name not in KEYS and not str(name).startswith(("y_", "p_"))
    ]


def _combinations(
    frame: pd.DataFrame,
    attributes: Sequence[str],
    age_edges: tuple[float, ...],
    whole: pd.DataFrame,
) -> Groups:
    """The combinations of the groups of several attributes that occur in any split."""
    of_whole = [_known(whole, each, age_edges) for each in attributes]
    parts = [_named_as(_known(frame, each.attribute, age_edges), each) for each in of_whole]
    joint = combinations(parts)
    present = np.flatnonzero(combinations(of_whole).sizes_G)
    place = np.full(len(joint.names) + 1, -1, dtype=np.int64)
    place[present] = np.arange(len(present))
    names = tuple(joint.names[c] for c in present)
    return Groups(joint.attribute, names, place[joint.code_N])


def _named_as(groups: Grouping, whole: Grouping) -> Groups:
    """The groups renumbered by the names of `whole`, which include all of theirs."""
    place = pd.Index(whole.names, dtype=object).get_indexer(pd.Index(groups.names, dtype=object))
    code_N = np.append(place, -1)[groups.code_N].astype(np.int64)
    return Groups(whole.attribute, whole.names, code_N)


def _known(frame: pd.DataFrame, attribute: str, age_edges: tuple[float, ...]) -> Grouping:
    known = attribute_names(frame)
    if attribute not in known:
        listed = ", ".join(known) or "none"
        hint = did_you_mean(attribute, known)
        raise BadInput(f"unknown attribute {attribute!r}{hint}; the predictions have: {listed}")
    return grouping(frame, attribute, age_edges)
