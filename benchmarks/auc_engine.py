"""AUCs of 14 pathologies x 12 groups in 2,048 replicates: the engine against loops over replicates.

Rows: what others publish, images drawn with replacement anew for every pathology. Both sides see
the same rows, drawing them is timed on both, and the values are equal. Patients: what this program
does, whole patients drawn once for all pathologies: another and better estimator, with less to
draw. A loop costs the same there, and repeats the rows of the patients drawn: the values are equal
again. DeLong: standard errors without replicates, against those of the patient bootstrap.

CPU seconds of one thread: the engine has no other, and BLAS is held to one. The sides take turns
and the median round counts. Loops are timed on some replicates and extrapolated; the engine is
timed in full, after a first call that compiles.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from benchmarks.cohorts import TEST, Array, Table, covariance, problem_of, shared_table
from benchmarks.sizes import sized
from fairfm_core.compiled import compiled
from fairfm_core.evaluation.auc import rank_cases, ranked_auc
from fairfm_core.evaluation.kernels.blocks import BLOCK_SIZE, Block, blocks_of
from fairfm_core.evaluation.kernels.cases import Cases
from fairfm_core.evaluation.kernels.pairwise_auc import cell_visits, pairwise_wins
from fairfm_core.evaluation.kernels.partition import partition_plan
from fairfm_core.evaluation.kernels.ranking import ranked
from fairfm_core.evaluation.resampling.bootstrap import unit_draws
from fairfm_core.evaluation.resampling.delong import influences
from fairfm_core.evaluation.resampling.replicate_values import bootstrap_values
from fairfm_core.seeding import stream

Result = TypeVar("Result")

REPLICATES = sized(2048, 512)
LOOPED = sized(3, 1)
"""Replicates of a pathology that the loops over rows are timed on."""
SUMMED = sized(64, 8)
"""Replicates of a pathology that cumulative sums are timed on."""
ROUNDS = sized(7, 1)
GOAL_ROWS = 200.0
GOAL_PATIENTS = 3000.0
GOAL_SECONDS = 0.5
GOAL_MEGABYTES = 500.0
GOAL_DELONG_SECONDS = 0.2
GOAL_DELONG_ERROR = 0.05


def bench_row_bootstrap() -> bool:
    """Print the seconds of both sides with rows as the unit; whether the ratio meets its goal."""
    table = shared_table()
    with threadpool_limits(1):
        _engine_rows(table, 0, BLOCK_SIZE)  # compiles
        rounds = np.array([_row_round(table, p) for p in table.pathologies])
    loop, ranks, engine = rounds.sum(axis=0)
    _print_head("rows drawn anew for each pathology, draws included")
    _print_line("scikit-learn's roc_auc_score in a loop", loop, "extrapolated")
    _print_line("scipy's rankdata in a loop", ranks, f"extrapolated, ratio {ranks / engine:.0f}")
    _print_line("fairfm", engine, f"ratio {loop / engine:.0f} {_range(rounds)}")
    print(f"  (goal: ratio {GOAL_ROWS:g}; {LOOPED} replicates of each cell equal to 1e-12)")
    return bool(loop / engine >= GOAL_ROWS)


def bench_patient_bootstrap() -> bool:
    """Print the seconds with patients as the unit and the memory; whether the goals are met."""
    table = shared_table()
    with threadpool_limits(1):
        _engine_patients(table, _draws(table)[:1])  # compiles
        rounds = np.array([_patient_round(table, b) for b in range(ROUNDS)])
        megabytes = _peak_megabytes(table)
    loop, sums, drawing, engine = np.median(rounds, axis=0)
    whole = drawing + engine
    _print_head("patients drawn once for all pathologies")
    _print_line("scikit-learn's roc_auc_score in a loop", loop, "extrapolated")
    _print_line("numpy's cumulative sums", sums, f"extrapolated, ratio {sums / engine:.0f}")
    _print_line("fairfm, draws cached", engine, f"ratio {loop / engine:,.0f} {_range(rounds)}")
    _print_line("fairfm, draws included", whole, f"ratio {loop / whole:,.0f}")
    print(f"  fairfm's peak: {megabytes:.0f} MB above the table and the draws (tracemalloc)")
    print("  (patients are another estimator than the rows that others draw: only the ratio of the")
    print("  row bootstrap is like for like with them; the loop here repeats the rows of patients.")
    print(f"  Goals with cached draws: {GOAL_SECONDS} s, ratio {GOAL_PATIENTS:,.0f},", end=" ")
    print(f"{GOAL_MEGABYTES:.0f} MB; {ROUNDS} replicates of each cell equal to 1e-12)")
    fast = engine <= GOAL_SECONDS and loop / engine >= GOAL_PATIENTS
    return bool(fast and megabytes <= GOAL_MEGABYTES)


def bench_delong() -> bool:
    """Print DeLong's seconds, and how far its standard errors are from the bootstrap's."""
    table, rounds = shared_table(), []
    with threadpool_limits(1):
        draws_BQ, _ = _draws(table), _delong(table)  # compiles
        for _ in range(ROUNDS):
            auc_BPG, bootstrap = _timed(lambda: _engine_patients(table, draws_BQ))
            (auc_PG, error_PG), delong = _timed(lambda: _delong(table))
            rounds.append((bootstrap, delong))
        once_BQ = np.ones((1, len(table.sample.patient_ids)), dtype=np.uint8)
        np.testing.assert_allclose(auc_PG, _engine_patients(table, once_BQ)[0], rtol=0, atol=1e-12)
    bootstrap, delong = np.median(rounds, axis=0)
    _print_head("standard errors by patients")
    _print_line("fairfm's bootstrap, draws cached", bootstrap)
    _print_line("fairfm's DeLong, 12 x 12 covariance", delong, f"ratio {bootstrap / delong:.1f}")
    alike = _errors_alike(error_PG / auc_BPG.std(axis=0, ddof=1) - 1)
    print(f"  (goals: {GOAL_DELONG_SECONDS} s, {GOAL_DELONG_ERROR:.0%} in the mean; AUCs equal)")
    return bool(delong <= GOAL_DELONG_SECONDS) and alike


def _errors_alike(off_PG: Array) -> bool:
    """Print by how much standard errors are off; whether each group's mean is within the goal."""
    off_G = off_PG.mean(axis=0)
    print(f"  DeLong's errors are off the bootstrap's by {off_G.min():+.1%} to", end=" ")
    print(f"{off_G.max():+.1%} in a group's mean over pathologies,", end=" ")
    print(f"by {off_PG.min():+.1%} to {off_PG.max():+.1%} in single cells")
    return bool(np.abs(off_G).max() <= GOAL_DELONG_ERROR)


def _row_round(table: Table, p: int) -> tuple[float, float, float]:
    """Seconds of one pathology: by scikit-learn, by ranks, by the engine; values are equal."""
    loop_BG, loop = _timed(lambda: _looped_rows(table, p, roc_auc_score))
    _, ranks = _timed(lambda: _looped_rows(table, p, _auc_by_ranks))
    auc_BG, engine = _timed(lambda: _engine_rows(table, p, REPLICATES))
    np.testing.assert_allclose(auc_BG[:LOOPED], loop_BG, rtol=0, atol=1e-12)
    return loop * REPLICATES / LOOPED, ranks * REPLICATES / LOOPED, engine


def _looped_rows(table: Table, p: int, auc_of: Callable[[Array, Array], float]) -> Array:
    drawn = _drawn_rows(table, p)
    return np.array([table.loop(p, next(drawn), auc_of) for _ in range(LOOPED)])


def _drawn_rows(table: Table, p: int) -> Iterator[Array]:
    """The rows of one replicate after the other."""
    random, images = stream(0, "row bootstrap", table.sample.pathologies[p]), len(table.all_N)
    while True:
        yield random.integers(images, size=images)


def _auc_by_ranks(label_n: Array, score_n: Array) -> float:
    positive_n = label_n == 1
    positives = np.count_nonzero(positive_n)
    wins = rankdata(score_n)[positive_n].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(label_n) - positives)))


def _engine_rows(table: Table, p: int, replicates: int) -> Array:
    """AUCs [B, G] of the same rows: drawn, counted, sorted and scanned."""
    ranking = ranked(table.sample.score_SPN[0, p], table.sample.label_PN[p], table.all_N)
    (partition,) = partition_plan(table.attributes, None).paired
    seen = cell_visits(Cases(0, p, ranking, None, table.all_N, None), partition, table.all_N)
    drawn, images, found = _drawn_rows(table, p), len(table.all_N), []
    for _ in range(replicates // BLOCK_SIZE):
        pairs = pairwise_wins(seen, _counted(drawn, images), images)
        groups = (cells for cells_G in partition.group_cells.values() for cells in cells_G)
        found.append(np.stack([pairs.auc_of(cells, None) for cells in groups], axis=1))
    return np.concatenate(found)


def _counted(drawn: Iterator[Array], images: int) -> Block:
    """How often each image is drawn, in a block of replicates."""
    counts_LN = np.zeros((BLOCK_SIZE, images), dtype=np.uint8)
    for counts_N in counts_LN:
        _counter()(next(drawn), counts_N)
    (block,) = blocks_of(counts_LN)
    return block


@cache
def _counter() -> Callable[..., Any]:
    return compiled(_count)


def _count(row_n: Any, counts_N: Any) -> None:
    for row in row_n:
        counts_N[row] += 1


def _patient_round(table: Table, b: int) -> tuple[float, float, float, float]:
    """Seconds of the loop, of sums, of the draw and of the engine; replicate b must be equal."""
    unit_draws.cache_clear()
    draws_BQ, drawing = _timed(lambda: _draws(table))
    row_n = np.repeat(table.all_N, draws_BQ[b, table.sample.patient_N])
    loop_PG, loop = _timed(lambda: [table.loop(p, row_n, roc_auc_score) for p in table.pathologies])
    _, sums = _timed(lambda: _cumulative_sums(table, b, draws_BQ[:SUMMED]))
    auc_BPG, engine = _timed(lambda: _engine_patients(table, draws_BQ))
    np.testing.assert_allclose(auc_BPG[b], loop_PG, rtol=0, atol=1e-12)
    sums *= len(table.pathologies) * REPLICATES / SUMMED
    return loop * REPLICATES, sums, drawing, engine


def _draws(table: Table) -> Array:
    return unit_draws(len(table.sample.patient_ids), REPLICATES, seed=0)


def _engine_patients(table: Table, draws_BQ: Array) -> Array:
    """AUCs [B, P, G] when each patient counts as often as it is drawn."""
    problem, unit_N = problem_of(table.sample), table.sample.patient_N
    by_attribute = bootstrap_values(problem, table.attributes, draws_BQ, unit_N)
    return np.concatenate([values["auc"][:, 0] for values in by_attribute], axis=-1)


def _cumulative_sums(table: Table, p: int, draws_BQ: Array) -> None:
    """The 12 AUCs of one pathology, sorted once: what a careful user of numpy would write."""
    label_N, score_N = table.sample.label_PN[p], table.sample.score_SPN[0, p]
    for groups in table.attributes:
        for g in range(len(groups.names)):
            case_n = np.flatnonzero(groups.code_N == g)
            ranking = rank_cases(score_N[case_n], label_N[case_n])
            ranked_auc(ranking, draws_BQ, table.sample.patient_N[case_n])


def _peak_megabytes(table: Table) -> float:
    draws_BQ = _draws(table)
    tracemalloc.start()
    _engine_patients(table, draws_BQ)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def _delong(table: Table) -> tuple[Array, Array]:
    """AUCs and their standard errors [P, G], from the covariance of each pathology's groups."""
    results = influences(problem_of(table.sample), table.attributes, table.sample.patient_N)
    auc_PG = np.concatenate([auc_SPG[0] for auc_SPG, _ in results], axis=-1)
    influence_QPG = np.concatenate([influence[:, 0] for _, influence in results], axis=-1)
    covariance_PGG = [covariance(influence_QPG[:, p]) for p in table.pathologies]
    return auc_PG, np.sqrt(np.diagonal(covariance_PGG, axis1=1, axis2=2))


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


def _print_head(what: str) -> None:
    cells = (
        f"AUCs of 14 pathologies x 12 groups x {REPLICATES:,} replicates, {TEST.images:,} images"
    )
    print(f"{cells}, {what}, CPU seconds of one thread:")


def _print_line(who: str, seconds: float, note: str = "") -> None:
    print(f"  {who:40s} {seconds:9.3f}  {note}")


def _range(rounds: Array) -> str:
    ratios = rounds[:, 0] / rounds[:, -1]
    return f"[{ratios.min():,.0f} to {ratios.max():,.0f}]"
