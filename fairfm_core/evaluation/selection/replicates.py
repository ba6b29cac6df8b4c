"""Stored replicates as arrays: the numbers of one model in every draw of patients.

Array suffixes: S seeds of a configuration (each a model with its own evaluation), B replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.numbers import gap_name, number_named
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns
from fairfm_core.evaluation.tables import Evaluation, no_p_value

Key = tuple[str, str, str]
"""Protocol, split and name of a number."""
NOTED = ["protocol", "split", "metric", "definition", "attribute", "reason"]
"""Columns of the gaps that say which have no p-value."""


@dataclass(frozen=True, eq=False)
class Replicated:
    """One number of a configuration: its value, and its value in every replicate, by seed."""

    value_S: Floats
    replicate_BS: Floats
    pairing: str
    """Digest of the images and draws: only numbers with the same pairing may be subtracted."""
    null_RS: Floats | None = None
    """For a gap, that of a fair model in each of R draws of patients, the same for all models."""
    training_runs: TrainingRuns | None = None
    """Which seeds are independent training runs; None means that each is."""
    no_p_value: str | None = None
    """Why a gap has no p-value of its own, and hence none in a comparison."""

    def independent(self) -> Replicated:
        """The number by independent training instead of by seed; the mean stays the same.

        The mean squares of a nested design are those of the means of its topmost level.
        """
        if self.training_runs is None:
            return self
        means = self.training_runs.means
        replicate_BU = means(self.replicate_BS.T).T
        null_RU = None if self.null_RS is None else means(self.null_RS.T).T
        return replace(
            self,
            value_S=means(self.value_S),
            replicate_BS=replicate_BU,
            null_RS=null_RU,
            training_runs=None,
        )

    def drawn_seeds(self, random: np.random.Generator) -> Ints:
        """Seeds in each replicate, [B, S], with replacement: training runs, then seeds within."""
        replicates, seeds = self.replicate_BS.shape
        training_runs = self.training_runs or TrainingRuns.apart(seeds)
        return training_runs.drawn_models(replicates, random)


def replicated(
    seeds: Sequence[Evaluation],
    who: str,
    training_runs: TrainingRuns | None = None,
    names: Sequence[str] | None = None,
) -> dict[Key, Replicated]:
    """The numbers that every seed of a configuration has, by protocol, split and name.

    `training_runs` says which seeds are independent; None means that each is. `names` are the
    numbers that are wanted; None means all.
    Raises BadInput if nothing is stored, or if the seeds did not draw the same patients.
    """
    if not seeds:
        raise BadInput(f"{who} has no evaluation; finish one of its trials first")
    tables = [_numbers(seed, names) for seed in seeds]
    keys = [key for key in tables[0] if all(key in table for table in tables)]
    if not keys and (names is None or not all(len(seed.draws([AUC.name])) for seed in seeds)):
        raise BadInput(f"{who} has no stored replicates; evaluate its predictions again")
    joined = {key: _joined([table[key] for table in tables], who) for key in keys}
    return {key: replace(number, training_runs=training_runs) for key, number in joined.items()}


def check_paired(first: Replicated, other: Replicated, names: Sequence[str]) -> None:
    """Raise BadInput unless two numbers rest on the same draws of the same patients."""
    if first.pairing != other.pairing or len(first.replicate_BS) != len(other.replicate_BS):
        raise BadInput(
            f"{names[0]} and {names[1]} cannot be paired: they predict different images, or have"
            " different labels, or were evaluated with different draws; compare models on the same"
            " split of the same data, evaluated with the same settings"
        )


def _joined(seeds: Sequence[Replicated], who: str) -> Replicated:
    """One number of all seeds; raises BadInput if they did not draw the same patients."""
    if len({seed.pairing for seed in seeds}) > 1:
        raise BadInput(f"the seeds of {who} cannot be paired: they predict different images")
    nulls = [seed.null_RS for seed in seeds if seed.null_RS is not None]
    return Replicated(
        np.concatenate([seed.value_S for seed in seeds]),
        np.concatenate([seed.replicate_BS for seed in seeds], axis=1),
        seeds[0].pairing,
        np.concatenate(nulls, axis=1) if len(nulls) == len(seeds) else None,
        no_p_value=next((seed.no_p_value for seed in seeds if seed.no_p_value), None),
    )


def _numbers(evaluation: Evaluation, names: Sequence[str] | None) -> dict[Key, Replicated]:
    """The numbers of one seed."""
    withheld = _withheld(evaluation, names)
    table = evaluation.draws(names)
    keys = zip(*(table[name].to_pylist() for name in ("protocol", "split", "name")), strict=True)
    columns = zip(
        keys,
        _floats(table["value"]),
        _lists(table["replicates"]),
        table["pairing"].to_pylist(),
        _lists(table["null"]),
        strict=True,
    )
    return {
        key: Replicated(
            np.array([value], dtype=np.float64),
            replicate_B[:, None],
            pairing,
            null_R[:, None] if null_R.size else None,
            no_p_value=withheld.get(key),
        )
        for key, value, replicate_B, pairing, null_R in columns
    }


def _withheld(evaluation: Evaluation, names: Sequence[str] | None) -> dict[Key, str | None]:
    """Why gaps have no p-value, of those that have none or another note; of the named ones at
    least."""
    gaps = evaluation.tables["gaps"].select(NOTED)
    kept = pc.is_valid(gaps["reason"])
    if names is not None:
        metrics = pa.array({number_named(name).metric.name for name in names}, pa.string())
        kept = pc.and_(kept, pc.is_in(gaps["metric"], metrics))
    noted = gaps.filter(kept).to_pylist()
    return {
        (
            row["protocol"],
            row["split"],
            gap_name(row["metric"], row["definition"], row["attribute"]),
        ): no_p_value(row["reason"])
        for row in noted
    }


def _floats(column: pa.ChunkedArray) -> Floats:
    """A column of numbers; NaN where there is none."""
    floats: Floats = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return floats


def _lists(column: pa.ChunkedArray) -> list[Floats]:
    """A column of lists of numbers; NaN where there is none."""
    lists = column.combine_chunks()
    ends = np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy())
    values = _floats(pa.chunked_array([pc.list_flatten(lists)]))
    return [values[start:end] for start, end in pairwise([0, *ends.tolist()])]
