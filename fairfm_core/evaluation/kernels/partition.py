"""Partitions of the images into cells, from which the numbers of every group are put together.

The groups of several attributes overlap, but each is a union of cells such as `F x Black`. Sums
over a group are sums over its cells, and the AUC of a group is made of the wins between pairs of
its cells, so one pass over the images serves all groups. Array suffixes: N images, K cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.arrays import Ints
from fairfm_core.evaluation.groups import Groups

MOST_PAIRED = 8
"""Cells that are compared with each other in one scan; with more, an attribute has its own."""


@dataclass(frozen=True, eq=False)
class Partition:
    """Cells that occur among the images, and the cells of each group of the attributes served."""

    code_N: Ints
    """Cell of each image; -1 for one outside."""
    cells: int
    group_cells: dict[int, list[Ints]]
    """For each attribute, by its place in the plan: the cells of each of its groups."""
    balance_K: Ints
    """The protocol's cell that a cell lies in; all 0 where the protocol has none."""
    first_K: Ints
    stop_K: Ints
    """Positives of a cell are compared with negatives of the cells from first to before stop."""


@dataclass(frozen=True, eq=False)
class PartitionPlan:
    """How the numbers of some attributes are put together."""

    attributes: tuple[Groups, ...]
    joint: Partition
    """Every combination of the attributes' groups and the protocol's cells: for sums."""
    paired: tuple[Partition, ...]
    """Partitions for the scan over pairs: together they serve every attribute."""
    single: tuple[Partition, ...]
    """For each attribute its groups, cut by the protocol's cells: for what needs whole groups."""
    scaled: bool
    """Whether the protocol scales cells and classes, so that sums are needed by class."""

    @cached_property
    def group_NA(self) -> npt.NDArray[np.int16]:
        """The group of each image in each attribute, counted through all of them; -1 for none."""
        first_A = np.cumsum([0, *(len(groups.names) for groups in self.attributes)])[:-1]
        group_AN = [
            np.where(groups.code_N < 0, -1, groups.code_N + first)
            for first, groups in zip(first_A, self.attributes, strict=True)
        ]
        return np.stack(group_AN, axis=1).astype(np.int16)


def partition_plan(attributes: Sequence[Groups], balance: Groups | None) -> PartitionPlan:
    """The plan for attributes under a protocol that makes the cells of `balance` alike."""
    every = range(len(attributes))
    single = tuple(_own(attributes, a, balance) for a in every)
    together: list[int] = []
    rest: list[int] = []
    for a in every:
        fits = _joint(attributes, [*together, a], balance).cells <= MOST_PAIRED
        (together if fits else rest).append(a)
    paired = [_joint(attributes, together, balance)] if together else []
    return PartitionPlan(
        tuple(attributes),
        _joint(attributes, list(every), balance),
        (*paired, *(single[a] for a in rest)),
        single,
        balance is not None,
    )


def _joint(attributes: Sequence[Groups], places: list[int], balance: Groups | None) -> Partition:
    """Every combination that occurs, images without a value of an attribute in cells of their own.

    All cells are compared with all.
    """
    parts_AN = [attributes[a].code_N for a in places]
    balance_N = _balance_code(attributes, balance)
    keys_N = balance_N.copy()
    for a, code_N in zip(places, parts_AN, strict=True):
        keys_N = keys_N * (len(attributes[a].names) + 1) + code_N + 1
    inside_n = np.flatnonzero(balance_N >= 0)
    keys_K, first_n, code_n = np.unique(keys_N[inside_n], return_index=True, return_inverse=True)
    code_N = np.full(len(balance_N), -1, dtype=np.int64)
    code_N[inside_n] = code_n
    example_K = inside_n[first_n]
    group_cells = {
        a: _cells_of(part_N[example_K], len(attributes[a].names))
        for a, part_N in zip(places, parts_AN, strict=True)
    }
    cells = len(keys_K)
    every_K = np.zeros(cells, dtype=np.int64), np.full(cells, cells, dtype=np.int64)
    return Partition(code_N, cells, group_cells, balance_N[example_K], *every_K)


def _own(attributes: Sequence[Groups], a: int, balance: Groups | None) -> Partition:
    """The groups of one attribute cut by the protocol's cells; pairs within a group alone."""
    groups, cuts = attributes[a], len(balance.names) if balance else 1
    balance_N = _balance_code(attributes, balance)
    code_N = groups.code_N * cuts + balance_N
    code_N[(groups.code_N < 0) | (balance_N < 0)] = -1
    cell_K = np.arange(len(groups.names) * cuts)
    group_K, first_K = cell_K // max(1, cuts), cell_K // max(1, cuts) * cuts
    cells = {a: _cells_of(group_K, len(groups.names))}
    return Partition(code_N, len(cell_K), cells, cell_K % max(1, cuts), first_K, first_K + cuts)


def _balance_code(attributes: Sequence[Groups], balance: Groups | None) -> Ints:
    return balance.code_N if balance else np.zeros(len(attributes[0].code_N), dtype=np.int64)


def _cells_of(group_K: Ints, groups: int) -> list[Ints]:
    return [np.flatnonzero(group_K == g) for g in range(groups)]
