"""All ensembles of ten models: the search over 1,023 subsets against a loop with scikit-learn.

The tables are as large as the paper's test split, as if it were the validation split. What a user
would write otherwise averages the scores and calls `roc_auc_score` for every pathology and group,
on one core; a few subsets show its rate, and its numbers are those of the search.
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.cohorts import PREVALENCE, TEST, predictions
from benchmarks.sizes import sized
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.cores import usable_cores
from fairfm_core.evaluation.ensembles.ensemble import COMBINATIONS
from fairfm_core.evaluation.ensembles.pool import Pool, paired_members
from fairfm_core.evaluation.ensembles.subset_search import SubsetSearch, search_subsets
from fairfm_core.evaluation.predictions import Predictions

MEMBERS = sized(10, 3)
PLAIN_SUBSETS = 4
"""Each costs the same seconds, so a few show the rate."""
GOAL_SECONDS = 60.0
SETTINGS = EvaluationSettings(attributes=("sex", "race"), metrics=("auc",))


def bench_ensembles() -> bool:
    """Print the seconds of both sides and their ratio; whether the goal is met."""
    pool = _pool()
    search_subsets(pool, "probability", SETTINGS, most=1)  # compiles, where nobody did yet
    worst = max(_compared(pool, combine) for combine in COMBINATIONS)
    return worst <= GOAL_SECONDS


def _compared(pool: Pool, combine: str) -> float:
    """Seconds of the search; the loop finds the same numbers to 1e-12."""
    started = time.perf_counter()
    search = search_subsets(pool, combine, SETTINGS)
    seconds = time.perf_counter() - started
    subsets = np.linspace(0, len(search.bits_M) - 1, PLAIN_SUBSETS).astype(int).tolist()
    started = time.perf_counter()
    plain = [_plain(pool, search, m) for m in subsets]
    rate = (time.perf_counter() - started) / len(subsets)
    np.testing.assert_allclose(search.value_MO[subsets], plain, rtol=0, atol=1e-12)
    count = len(search.bits_M)
    print(
        f"front of {count:,} ensembles (mean {combine}), {TEST.images:,} images x"
        f" {len(PREVALENCE)} pathologies, AUC and gaps of sex and race:"
    )
    print(f"  fairfm, threads: {usable_cores():<3}             {seconds:8.1f} s")
    print(f"  scikit-learn in a loop, one core {rate * count:8.0f} s (from {len(subsets)} subsets)")
    print(f"  ratio {rate * count / seconds:.0f} (goal: at most {GOAL_SECONDS:g} s; equal numbers)")
    return seconds


def _plain(pool: Pool, search: SubsetSearch, m: int) -> list[float]:
    """Mean AUC and gaps of one subset, group by group."""
    scores = pool.score_EPN[list(search.places(m))].astype(np.float64)
    if len(scores) > 1 and search.combine == "logit":
        kept = np.clip(scores, 1e-7, 1 - 1e-7)
        score_PN = 1 / (1 + np.exp(-np.log(kept / (1 - kept)).mean(axis=0)))
    else:
        score_PN = scores.mean(axis=0)
    score_PN = score_PN.astype(np.float32)
    whole = _mean_auc(pool, score_PN, np.ones(len(pool.frame), dtype=bool))
    return [whole, *(_gap(pool, score_PN, attribute) for attribute in SETTINGS.attributes)]


def _gap(pool: Pool, score_PN: np.ndarray, attribute: str) -> float:
    groups = pool.frame[attribute]
    means = [_mean_auc(pool, score_PN, (groups == name).to_numpy()) for name in groups.unique()]
    return max(means) - min(means)


def _mean_auc(pool: Pool, score_PN: np.ndarray, inside_N: np.ndarray) -> float:
    aucs = []
    for name, score_N in zip(pool.pathologies, score_PN, strict=True):
        kept_N = inside_N & pool.frame[f"y_{name}"].notna().to_numpy()
        aucs.append(roc_auc_score(pool.frame[f"y_{name}"][kept_N], score_N[kept_N]))
    return float(np.mean(aucs))


def _pool() -> Pool:
    """Models that differ in their scores alone, on tables that call themselves validation."""
    models = (Predictions(predictions(TEST, model=e).assign(split="val")) for e in range(MEMBERS))
    return paired_members([f"model {e}" for e in range(MEMBERS)], models)
