"""Stored replicates as arrays: the numbers of one model in every draw of patients.

Array suffixes: S seeds of a configuration (each a model with its own evaluation), B replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.auc import Floats
from fairfm_core.evaluation.records import Evaluation

Key = tuple[str, str, str]
"""Protocol, split and name of a number."""


@dataclass(frozen=True, eq=False)
class Replicated:
    """One number of a configuration: by seed, and in every replicate by seed."""

    value_S: Floats
    replicate_BS: Floats
    pairing: str
    """Of the patients drawn: only numbers with the same pairing may be subtracted."""


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
        if len({pairing for _, _, pairing in columns}) > 1:
            raise BadInput(f"the seeds of {who} do not pair: they predict different images")
        replicate_BS = np.stack([draws_B for _, draws_B, _ in columns], axis=1)
        value_S = np.array([value for value, _, _ in columns])
        found[key] = Replicated(value_S, replicate_BS, columns[0][2])
    return found


def check_paired(first: Replicated, other: Replicated, names: Sequence[str]) -> None:
    """Raise BadInput unless two numbers rest on the same draws of the same patients."""
    if first.pairing != other.pairing or len(first.replicate_BS) != len(other.replicate_BS):
        raise BadInput(
            f"{names[0]} and {names[1]} do not pair: they predict different images, or other"
            " labels of them, or were evaluated with other draws; compare models on the same split"
            " of the same data, evaluated alike"
        )


def _numbers(evaluation: Evaluation) -> dict[Key, tuple[float, Floats, str]]:
    rows = evaluation.replicates
    keys = zip(rows["protocol"], rows["split"], rows["name"], strict=True)
    values = zip(rows["value"], rows["replicates"], rows["pairing"], strict=True)
    return {
        key: (float(value), np.asarray(draws, dtype=np.float64), str(pairing))
        for key, (value, draws, pairing) in zip(keys, values, strict=True)
    }
