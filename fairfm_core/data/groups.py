"""Groups of a protected attribute: text as it is, age in bins, attributes combined.

This is the only place that bins an attribute, names bins and combines groups. The balanced training
set, the summary of a cohort and the evaluation are built on it, so a group has the same name in all
of them. Shapes: N images, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.errors import BadInput

AGE = "age"
TIMES = " x "
"""Joins the names of attributes, and of their groups, into those of combinations: `race x sex`."""
MOST_GROUPS = 20
"""Distinct values of a column beyond which it is a measurement, not an attribute with groups."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """The groups of one attribute, and the group of each of N images.

    Attributes:
        attribute: its name; for combinations all names joined, `race x sex`.
        names: bins from young to old, other groups in alphabetical order.
        code_N: index into `names`; -1 for an image that belongs to no group (its value is null).
    """

    attribute: str
    names: tuple[str, ...]
    code_N: NDArray[np.int64]

    @property
    def sizes_G(self) -> NDArray[np.int64]:
        """Number of images of each group."""
        return np.bincount(self.code_N[self.code_N >= 0], minlength=len(self.names))

    @property
    def without(self) -> int:
        """Number of images that belong to no group."""
        return int((self.code_N < 0).sum())

    @property
    def label_N(self) -> NDArray[np.object_]:
        """The name of each image's group; None where it belongs to none."""
        return np.array([*self.names, None], dtype=object)[self.code_N]


def grouping(frame: pd.DataFrame, attribute: str, age_edges: Sequence[float]) -> Grouping:
    """The groups of a column of `frame` that occur in it.

    A numeric `age` is cut at `age_edges` (years; an edge belongs to the older bin). Other values
    are groups as they are, and so is an age in words.
    """
    column = frame[attribute]
    if attribute == AGE and pd.api.types.is_numeric_dtype(column):
        names, code_N = bin_names(age_edges), _bins(column, age_edges)
    else:
        value_N, values = pd.factorize(column)
        texts = [_group_name(value) for value in values]
        names = tuple(sorted(set(texts)))
        code_N = np.append(_places(texts, names), -1)[value_N]
    return _occurring(Grouping(attribute, names, code_N))


def has_groups(frame: pd.DataFrame, attribute: str) -> bool:
    """Whether a column has groups: age, which is binned, or at most `MOST_GROUPS` values."""
    return attribute == AGE or frame[attribute].nunique() <= MOST_GROUPS


def combinations(parts: Sequence[Grouping]) -> Grouping:
    """Every combination of the groups of one or more attributes, `Black x F`.

    A combination that no image has is a group of size 0; an image that lacks one of the attributes
    belongs to none.
    """
    code_N = np.zeros_like(parts[0].code_N)
    for part in parts:
        code_N = code_N * len(part.names) + part.code_N
    code_N[np.any([part.code_N < 0 for part in parts], axis=0)] = -1
    names = tuple(TIMES.join(groups) for groups in product(*(part.names for part in parts)))
    return Grouping(TIMES.join(part.attribute for part in parts), names, code_N)


def binned(number: pd.Series, edges: Sequence[float]) -> pd.Series:
    """The name of the bin of each number, as text; null stays null."""
    names = np.array([*bin_names(edges), None], dtype=object)
    return pd.Series(names[_bins(number, edges)], index=number.index, dtype="str")


def bin_names(edges: Sequence[float]) -> tuple[str, ...]:
    """Names of the bins that inner `edges` make: (40, 60) gives `<40`, `40-59` and `60+`.

    Edges that are not all whole numbers, (18.5, 25), give `<18.5`, `18.5-<25` and `25+`.

    Raises:
        BadInput: no edge, or edges that do not increase.
    """
    if not edges or any(low >= high for low, high in pairwise(edges)):
        raise BadInput(
            f"bin edges {list(edges)}: give one or more in increasing order, as in [40, 60]"
        )
    whole = all(float(edge).is_integer() for edge in edges)
    middle = [f"{a:g}-{b - 1:g}" if whole else f"{a:g}-<{b:g}" for a, b in pairwise(edges)]
    return (f"<{edges[0]:g}", *middle, f"{edges[-1]:g}+")


def _bins(number: pd.Series, edges: Sequence[float]) -> NDArray[np.int64]:
    """The bin of each number, [N]; -1 for null."""
    bin_N = np.digitize(number.to_numpy(dtype=np.float64, na_value=np.nan), edges)
    return np.where(number.isna(), -1, bin_N)


def _occurring(groups: Grouping) -> Grouping:
    """The groups without those that no image belongs to."""
    held = np.flatnonzero(groups.sizes_G)
    place = np.full(len(groups.names) + 1, -1, dtype=np.int64)
    place[held] = np.arange(len(held))
    return Grouping(groups.attribute, tuple(groups.names[g] for g in held), place[groups.code_N])


def _places(texts: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    place = {name: g for g, name in enumerate(names)}
    return np.array([place[text] for text in texts], dtype=np.int64)


def _group_name(value: object) -> str:
    """A value as text: 1.0 is group 1."""
    whole = isinstance(value, float) and value.is_integer()
    return f"{value:.0f}" if whole else str(value)
