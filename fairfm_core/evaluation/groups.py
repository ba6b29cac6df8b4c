"""Groups of a protected attribute: its values as they are, or named bins of an age in years."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.arrays import Ints
from fairfm_core.evaluation.predictions import KEYS

AGE = "age"
TIMES = " x "
"""Joins attributes whose combinations are asked for: `race x sex`."""


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of one attribute that occur among N images, and the group of each image."""

    attribute: str
    names: tuple[str, ...]
    code_N: Ints
    """Index into `names`; -1 for an image that is a member of no group (its value is null)."""
    parts: tuple[Groups, ...] = ()
    """Of combinations, the attributes they are made of."""
    part_GA: Ints | None = None
    """Of combinations, the group of each part that every combination lies in."""

    def level(self, attribute: str) -> Ints | None:
        """The group of an attribute that each group lies in, [G]; None if it does not say.

        Of sex that is sex itself, and `race x sex` says both.
        """
        if self.part_GA is None:
            return np.arange(len(self.names)) if attribute == self.attribute else None
        for a, part in enumerate(self.parts):
            if part.attribute == attribute:
                level_G: Ints = self.part_GA[:, a]
                return level_G
        return None

    @property
    def without(self) -> int:
        """Number of images that are members of no group."""
        return int((self.code_N < 0).sum())


def age_group_names(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Names of the bins that inner `edges` (years) cut: (40, 60) gives `<40`, `40-59`, `60+`."""
    if not edges or any(low >= high for low, high in pairwise(edges)):
        raise BadInput(f"age edges {list(edges)} must be increasing and at least one, as in 40,60")
    whole = all(float(edge).is_integer() for edge in edges)
    middle = [f"{a:g}-{b - 1:g}" if whole else f"{a:g} to <{b:g}" for a, b in pairwise(edges)]
    return (f"<{edges[0]:g}", *middle, f"{edges[-1]:g}+")


def group_labels(
    frame: pd.DataFrame, attribute: str, age_edges: tuple[float, ...]
) -> npt.NDArray[np.object_]:
    """The group of each image, [N] names; None is a member of no group.

    A numeric `age` is cut at `age_edges` (an edge belongs to the older bin); other values are taken
    as they are. Raises BadInput for an attribute that `frame` lacks.
    """
    column = _attribute_column(frame, attribute)
    missing_N = column.isna().to_numpy(dtype=bool)
    if attribute == AGE and pd.api.types.is_numeric_dtype(column):
        years_N = column.to_numpy(dtype=np.float64, na_value=np.nan)
        bin_N = np.digitize(years_N, age_edges)  # NaN falls past the last edge: masked below
        names_N = np.array(age_group_names(age_edges), dtype=object)[bin_N]
    else:
        code_N, values = pd.factorize(column)
        # A missing value has the code -1: the last entry.
        names_N = np.array([*(_group_name(value) for value in values), None], dtype=object)[code_N]
    names_N[missing_N] = None
    return names_N


def groups_of(
    frame: pd.DataFrame,
    attribute: str,
    age_edges: tuple[float, ...],
    everywhere: pd.DataFrame | None = None,
) -> Groups:
    """The groups of `attribute` among the images of `frame`: bins by age, others by name.

    With `everywhere` (the images of all splits) its groups are named too, so that a group that is
    absent from `frame` is a group without images and never silently left out of a gap. Of several
    attributes, `race x sex`, the groups are the combinations that occur.
    """
    if TIMES in attribute and attribute not in frame.columns:
        return _combined(frame, attribute.split(TIMES), age_edges, everywhere)
    label_N = group_labels(frame, attribute, age_edges)
    named_M = label_N if everywhere is None else group_labels(everywhere, attribute, age_edges)
    present = set(pd.unique(named_M)) - {None}
    bins = age_group_names(age_edges) if attribute == AGE else ()
    names = tuple(name for name in bins if name in present)
    names += tuple(sorted(present - set(names)))
    code_N = pd.Index(names, dtype=object).get_indexer(pd.Index(label_N)).astype(np.int64)
    return Groups(attribute, names, code_N)


def joint_groups(parts: Sequence[Groups], images: int) -> Groups:
    """Every combination of the groups of several attributes, `Black x F`; of none, everybody.

    A combination that no image has is a group without members; an image that lacks one of the
    attributes is a member of none.
    """
    joint = Groups("", ("",), np.zeros(images, dtype=np.int64))
    for part in parts:
        names = tuple(f"{a} x {b}" if a else b for a in joint.names for b in part.names)
        code_N = joint.code_N * len(part.names) + part.code_N
        code_N[(joint.code_N < 0) | (part.code_N < 0)] = -1
        joint = Groups(" x ".join(filter(None, (joint.attribute, part.attribute))), names, code_N)
    return joint if parts else everybody(images)


def _combined(
    frame: pd.DataFrame,
    attributes: Sequence[str],
    age_edges: tuple[float, ...],
    everywhere: pd.DataFrame | None,
) -> Groups:
    """The combinations of the groups of several attributes that occur in any split."""
    whole = frame if everywhere is None else everywhere
    parts, all_parts = (
        tuple(groups_of(rows, each, age_edges, everywhere) for each in attributes)
        for rows in (frame, whole)
    )
    joint, of_all = joint_groups(parts, len(frame)), joint_groups(all_parts, len(whole))
    present = np.unique(of_all.code_N[of_all.code_N >= 0])
    place = np.full(len(joint.names) + 1, -1, dtype=np.int64)
    place[present] = np.arange(len(present))
    names = tuple(joint.names[c] for c in present)
    sizes = [len(part.names) for part in parts]
    part_GA = np.stack(np.unravel_index(present, sizes), axis=1).reshape(len(present), len(parts))
    return Groups(joint.attribute, names, place[joint.code_N], parts, part_GA)


def everybody(images: int) -> Groups:
    """The one group of all images: attribute `overall`, group `all`."""
    return Groups("overall", ("all",), np.zeros(images, dtype=np.int64))


def attribute_names(frame: pd.DataFrame) -> list[str]:
    """The attribute columns of a table of predictions: all that are no key, label or score."""
    return [
        str(name)
        for name in frame.columns
        if name not in KEYS and not str(name).startswith(("y_", "p_"))
    ]


def _attribute_column(frame: pd.DataFrame, attribute: str) -> pd.Series[Any]:
    known = attribute_names(frame)
    if attribute not in known:
        listed = ", ".join(known) or "none"
        hint = did_you_mean(attribute, known)
        raise BadInput(f"unknown attribute {attribute!r}{hint}; the predictions have: {listed}")
    return frame[attribute]


def _group_name(value: object) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return f"{value:g}" if whole else str(value)
