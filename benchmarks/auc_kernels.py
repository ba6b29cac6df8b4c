"""Each AUC kernel of the evaluation against the kernel that could stand in for it.

The reasons for having several, and these numbers, are in fairfm_core/evaluation/kernels/README.md.
CPU seconds of one thread on the shared table: one pathology, median of some rounds after a first
call that compiles. The values of both sides are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from benchmarks.cohorts import TEST, Array, Table, shared_table
from benchmarks.sizes import sized
from fairfm_core.evaluation.auc import auc, rank_cases, ranked_auc
from fairfm_core.evaluation.kernels.blocks import Block, blocks_of
from fairfm_core.evaluation.kernels.cases import Cases
from fairfm_core.evaluation.kernels.group_auc import group_auc, sorted_images
from fairfm_core.evaluation.kernels.pairwise_auc import cell_visits, pairwise_wins
from fairfm_core.evaluation.kernels.partition import partition_plan
from fairfm_core.evaluation.kernels.ranking import ranked
from fairfm_core.evaluation.kernels.weighted_auprc import sorted_cells, weighted_auprc
from fairfm_core.evaluation.resampling.bootstrap import unit_draws

WEIGHTINGS = 512
ROUNDS = sized(7, 1)
PATHOLOGY = 5


def bench_auc_kernels() -> bool:
    """Print both sides of each comparison; whether each kernel is the faster one at its job."""
    with threadpool_limits(1):
        table = shared_table()
        ratios = [
            *(_auc_alone(table), _auc_and_auprc(table), _one_value(table)),
        ]
    return min(ratios) > 1


def _auc_alone(table: Table) -> float:
    """12 groups in bootstrap replicates: wins between cells, or each image to all its groups."""
    problem_cases, plan = _cases(table), partition_plan(table.attributes, None)
    unit_N, block = table.sample.patient_N, _draws(table)
    images = sorted_images(problem_cases, unit_N)
    group_nA, groups = plan.group_NA[images.case_n], sum(len(g.names) for g in table.attributes)
    visits = [cell_visits(problem_cases, partition, unit_N) for partition in plan.paired]

    def pairwise() -> Array:
        aucs = {}
        for each in visits:
            wins = pairwise_wins(each, block, len(unit_N) * 3)
            for a, cells_G in each.partition.group_cells.items():
                aucs[a] = [wins.auc_of(cells, None) for cells in cells_G]
        return np.stack([auc_L for a in sorted(aucs) for auc_L in aucs[a]], axis=1)

    by_group = lambda: group_auc(images, group_nA, groups, block, len(unit_N) * 3)[0]  # noqa: E731
    score_N, label_N = table.sample.score_SPN[0, PATHOLOGY], table.sample.label_PN[PATHOLOGY]

    def cumulative_sums() -> Array:
        columns = []
        for each in table.attributes:
            for g in range(len(each.names)):
                case_n = np.flatnonzero(each.code_N == g)
                ranking = rank_cases(score_N[case_n], label_N[case_n])
                weight_LU = block.weight_UL[:, : block.used].T
                columns.append(ranked_auc(ranking, weight_LU, unit_N[case_n]))
        return np.stack(columns, axis=1)

    first = _compare(
        "AUC, 12 groups: pairwise_auc / group_auc (which adds AUPRC)", pairwise, by_group
    )
    _compare("AUC, 12 groups: pairwise_auc / auc.py (numpy)", pairwise, cumulative_sums, rounds=1)
    return first


def _auc_and_auprc(table: Table) -> float:
    """12 groups in bootstrap replicates: one scan for both, or a scan each with a scale of 1."""
    cases, plan = _cases(table), partition_plan(table.attributes, None)
    unit_N, block = table.sample.patient_N, _draws(table)
    images = sorted_images(cases, unit_N)
    group_nA, groups = plan.group_NA[images.case_n], sum(len(g.names) for g in table.attributes)
    ways = [sorted_cells(cases, partition, a, unit_N) for a, partition in enumerate(plan.single)]
    total = len(unit_N) * 3

    def separate() -> Array:
        for each in (cell_visits(cases, partition, unit_N) for partition in plan.paired):
            pairwise_wins(each, block, total)
        ones = [np.ones((block.used, way.partition.cells, 2)) for way in ways]
        return np.concatenate(
            [weighted_auprc(way, block, one) for way, one in zip(ways, ones, strict=True)], axis=1
        )

    both = lambda: group_auc(images, group_nA, groups, block, total)[1]  # noqa: E731
    return _compare("AUC and AUPRC, 12 groups: group_auc / one scan each", both, separate)


def _one_value(table: Table) -> float:
    """One AUC of one sample: numpy alone, or scikit-learn."""
    score_N, label_N = table.sample.score_SPN[0, PATHOLOGY], table.sample.label_PN[PATHOLOGY]
    return _compare(
        f"one AUC, {TEST.images:,} images: auc.py / scikit-learn",
        lambda: np.array(auc(score_N, label_N)),
        lambda: np.array(roc_auc_score(label_N, score_N)),
    )


def _cases(table: Table) -> Cases:
    score_N, label_N = table.sample.score_SPN[0, PATHOLOGY], table.sample.label_PN[PATHOLOGY]
    return Cases(0, PATHOLOGY, ranked(score_N, label_N, table.all_N), None, np.zeros(0), None)


def _draws(table: Table) -> Block:
    (block,) = blocks_of(unit_draws(len(table.sample.patient_ids), WEIGHTINGS, seed=0))
    return block


def _compare(
    name: str, ours: Callable[[], Any], other: Callable[[], Any], rounds: int = ROUNDS
) -> float:
    np.testing.assert_allclose(ours(), other(), rtol=0, atol=1e-9)  # compiles
    seconds = np.median([[_seconds(ours), _seconds(other)] for _ in range(rounds)], axis=0)
    print(
        f"  {name:68s} {seconds[0]:8.4f} / {seconds[1]:8.4f} s = 1 : {seconds[1] / seconds[0]:.1f}"
    )
    return float(seconds[1] / seconds[0])


def _seconds(work: Callable[[], Any]) -> float:
    began = process_time()
    work()
    return process_time() - began
