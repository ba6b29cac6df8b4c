"""Groups of an attribute: the text columns as they are, age in bins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

AGE_EDGES = (40.0, 60.0, 80.0)
MOST_GROUPS = 20


def age_groups(age: pd.Series, edges: Sequence[float] = AGE_EDGES) -> pd.Series:
    """Ages in years as groups: edges (40, 60) make <40, 40-59 and 60+; null stays null."""
    return binned(age, edges)


def binned(number: pd.Series, edges: Sequence[float]) -> pd.Series:
    """Numbers as groups: edges (40, 60) make <40, 40-59 and 60+; null stays null.

    Edges that are no whole numbers (18.5, 25) make 18.5-<25 instead.
    """
    whole = all(float(edge).is_integer() for edge in edges)
    names = [f"<{edges[0]:g}"]
    for low, high in pairwise(edges):
        names.append(f"{low:g}-{high - 1:g}" if whole else f"{low:g}-<{high:g}")
    names.append(f"{edges[-1]:g}+")
    which = np.searchsorted(np.asarray(edges), number.to_numpy(dtype=np.float64), side="right")
    groups = pd.Series(np.array(names)[which], index=number.index, dtype="str")
    return groups.where(number.notna())


def groups_of(frame: pd.DataFrame, attribute: str) -> pd.Series | None:
    """The group of each row as text, or None for a column with too many values to be groups."""
    if attribute == "age":
        return age_groups(frame["age"])
    if frame[attribute].nunique() > MOST_GROUPS:
        return None
    return frame[attribute].astype("str")
