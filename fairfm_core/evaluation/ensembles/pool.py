"""Models whose predictions may be averaged: the same images, labels and groups, scored by each.

Array suffixes: E members, P pathologies, N images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairfm_core.errors import BadInput, first_ten
from fairfm_core.evaluation.pairing import check_pairing
from fairfm_core.evaluation.predictions import KEYS, Predictions


@dataclass(frozen=True, eq=False)
class Pool:
    """The members' scores of the same images, in the order of split and image_id."""

    names: tuple[str, ...]
    pathologies: tuple[str, ...]
    frame: pd.DataFrame
    """Keys, attributes and labels: what the members share."""
    score_EPN: npt.NDArray[np.float32]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the members predict."""
        return tuple(map(str, self.frame["split"].unique()))


def paired_members(names: Sequence[str], members: Iterable[Predictions]) -> Pool:
    """The pool of the members in the order given, each released before the next is read.

    Raises BadInput for no member, and for members that differ in more than their scores.
    """
    if not names:
        raise BadInput("no members given; an ensemble needs two or more tables of predictions")
    each = map(_ordered, members)
    first = next(each)
    scores = [_scores(first, first.pathologies)]
    for name, other in zip(names[1:], each, strict=True):
        check_pairing(first, other, (names[0], name))
        _check_attributes(first, other, (names[0], name))
        scores.append(_scores(other, first.pathologies))
    labels = [f"y_{pathology}" for pathology in first.pathologies]
    frame = first.frame[[*KEYS, *first.attributes, *labels]]
    return Pool(tuple(names), first.pathologies, frame, np.array(scores))


def _ordered(member: Predictions) -> Predictions:
    """Rows by split and image, keys as text, labels as float32, whichever program wrote them."""
    kinds: dict[str, Any] = dict.fromkeys(KEYS, str)
    kinds |= {f"y_{pathology}": np.float32 for pathology in member.pathologies}
    frame = member.frame.astype(kinds)
    return Predictions(frame.sort_values(["split", "image_id"], ignore_index=True))


def _scores(member: Predictions, pathologies: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Scores [P, N]; adding 0 turns -0 into 0, so that scores sort like their bits."""
    columns = [member.frame[f"p_{name}"].to_numpy(np.float32) for name in pathologies]
    return np.array(columns) + np.float32(0)


def _check_attributes(first: Predictions, other: Predictions, names: tuple[str, str]) -> None:
    """Raise BadInput where two members give the same image different groups."""
    if odd := sorted(set(first.attributes) ^ set(other.attributes)):
        raise BadInput(
            f"{names[0]} and {names[1]} cannot be paired: only one has the attribute"
            f" {first_ten(odd)}; write the same attribute columns for all members"
        )
    for attribute in first.attributes:
        a, b = (each.frame[attribute].astype(object) for each in (first, other))
        differ_N = ~((a == b) | (a.isna() & b.isna())).to_numpy(dtype=bool)
        if differ_N.any():
            raise BadInput(
                f"{names[0]} and {names[1]} cannot be paired: {attribute!r} differs (image"
                f" {first_ten(first.frame['image_id'][differ_N])}); take both from one cohort"
            )
