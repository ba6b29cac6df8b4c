"""Stored replicates as arrays: the numbers of one model in every draw of patients.

Array suffixes: S seeds of a configuration (each a model with its own evaluation), B replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.tables import Evaluation

Key = tuple[str, str, str]
"""Protocol, split and name of a number."""


@dataclass(frozen=True, eq=False)
class Replicated:
    """One number of a configuration: by seed, and in every replicate by seed."""

    value_S: Floats
    replicate_BS: Floats
    pairing: str
    """Of the patients drawn: only numbers with the same pairing may be subtracted."""
    null_RS: Floats | None = None
    """Of a gap: what it is by seed with groups permuted, the same for all models."""


def replicated(seeds: Sequence[Evaluation], who: str) -> dict[Key, Replicated]:
    """The numbers that every seed of a configuration has, by protocol, split and name.

    Raises BadInput if there are none, or if the seeds did not draw the same patients.
    """
    if not seeds:
        raise BadInput(f"{who} has no evaluation; finish one of its trials first")
    tables = [_numbers(seed) for seed in seeds]
    keys = [key for key in tables[0] if all(key in table for table in tables)]
    if not keys:
        raise BadInput(f"{who} has no stored replicates; evaluate its predictions again")
    found = {}
    for key in keys:
        columns = [table[key] for table in tables]
        if len({column.pairing for column in columns}) > 1:
            raise BadInput(f"the seeds of {who} do not pair: they predict different images")
        found[key] = Replicated(
            np.concatenate([column.value_S for column in columns]),
            np.concatenate([column.replicate_BS for column in columns], axis=1),
            columns[0].pairing,
            _together([column.null_RS for column in columns]),
        )
    return found


def check_paired(first: Replicated, other: Replicated, names: Sequence[str]) -> None:
    """Raise BadInput unless two numbers rest on the same draws of the same patients."""
    if first.pairing != other.pairing or len(first.replicate_BS) != len(other.replicate_BS):
        raise BadInput(
            f"{names[0]} and {names[1]} do not pair: they predict different images, or other"
            " labels of them, or were evaluated with other draws; compare models on the same split"
            " of the same data, evaluated alike"
        )


def _together(nulls: Sequence[Floats | None]) -> Floats | None:
    parts = [null_RS for null_RS in nulls if null_RS is not None]
    return np.concatenate(parts, axis=1) if len(parts) == len(nulls) else None


def _numbers(evaluation: Evaluation) -> dict[Key, Replicated]:
    """The numbers of one seed."""
    found = {}
    for row in evaluation.replicates.to_dict("records"):
        null_R = np.asarray(row["null"], dtype=np.float64)
        found[(row["protocol"], row["split"], row["name"])] = Replicated(
            np.array([row["value"]], dtype=np.float64),
            np.asarray(row["replicates"], dtype=np.float64)[:, None],
            row["pairing"],
            null_R[:, None] if null_R.size else None,
        )
    return found
