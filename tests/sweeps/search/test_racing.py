"""Further seeds go to those that may be on the front, and the race ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.replicates import Replicated
from sweeps.search.asked import seeds_of, starting_seeds
from sweeps.search.grammar import SearchReplicates, SearchSpec
from sweeps.search.history import Told
from sweeps.search.racing import (
    SETTLED,
    SPENT,
    Racer,
    chances_on_front,
    most_further,
    next_in_race,
)
from sweeps.search.rounds import StudySearch
from sweeps.search.values import Numbers

from .conftest import MakeStudy
from .test_journal import opened

OBJECTIVES = (
    Objective(metric="val/auc", goal="maximize"),
    Objective(metric="val/gap_sex", goal="minimize"),
)
MEANS = np.array([[0.80, 0.05], [0.70, 0.02], [0.799, 0.051], [0.60, 0.09]])


def number(*values: float, noise: float = 0.0, seed: int = 0) -> Replicated:
    shift_B = np.random.default_rng(seed).normal(size=(200, 1)) * noise
    value_S = np.array(values)
    return Replicated(value_S, value_S + shift_B, "same")


def chances(noise: float, *, common: bool = True) -> np.ndarray:
    columns = [
        [number(row[k], noise=noise, seed=0 if common else n) for n, row in enumerate(MEANS)]
        for k in (0, 1)
    ]
    return chances_on_front(MEANS, columns, OBJECTIVES, np.random.default_rng(0))


def test_without_noise_a_chance_is_the_front() -> None:
    assert chances(0.0).tolist() == [1, 1, 0, 0]


def test_a_near_member_has_a_chance_and_a_bad_one_has_none() -> None:
    chance_N = chances(0.003)
    assert chance_N[0] > chance_N[2] > 0.05
    assert chance_N[1] > 0.95
    assert chance_N[3] < 0.01


def test_seeds_that_agree_make_a_near_member_unlikely() -> None:
    """The spread of all configurations with several seeds counts, less with more seeds."""
    spread = [number(m - s, m, m + s, noise=1e-9) for m, s in ((0.8, 1e-5), (0.79, 1e-5))]
    wide = [number(m - s, m, m + s, noise=1e-9) for m, s in ((0.8, 0.02), (0.79, 0.02))]
    gaps: list[Replicated | None] = [number(0.05, 0.05, 0.05), number(0.06, 0.06, 0.06)]
    means = np.array([[0.8, 0.05], [0.79, 0.06]])
    agreed, apart = (
        chances_on_front(means, [each, gaps], OBJECTIVES, np.random.default_rng(0))
        for each in (spread, wide)
    )
    assert agreed[1] == 0 < 0.1 < apart[1]


def test_members_of_the_front_and_the_likeliest_with_the_fewest_seeds_come_first() -> None:
    chance_N = np.array([0.5, 0.9, 0.9, 0.99, 0.99, 0.01, 0.5])
    seeds_N = np.array([1, 1, 3, 1, 2, 1, 5])
    nobody, last = np.zeros(7, dtype=bool), np.arange(7) == 5
    order = next_in_race(chance_N, nobody, seeds_N, SearchReplicates(confirm=5))
    assert order.tolist() == [3, 1, 0, 2]  # 4 is sure and confirmed, 5 is out, 6 has all its seeds
    # A member of the front that nobody believes in is looked at once more, and early.
    order = next_in_race(chance_N, last, seeds_N, SearchReplicates(confirm=5))
    assert order.tolist() == [5, 3, 1, 0, 2]
    order = next_in_race(chance_N, last, seeds_N + last, SearchReplicates(confirm=5))
    assert order.tolist() == [3, 1, 0, 2]


@pytest.mark.parametrize(("configurations", "budget", "runs"), [(36, 0.4, 24), (6, 0.25, 2)])
def test_the_budget_is_a_share_of_all_runs(configurations: int, budget: float, runs: int) -> None:
    spec = SearchSpec(parameters={"a": [0, 1]}, replicates=SearchReplicates(budget=budget))
    assert most_further(spec, configurations) == runs
    assert runs / (configurations + runs) == pytest.approx(budget)


def test_seeds_continue_the_list_of_the_study() -> None:
    spec = SearchSpec(parameters={"a": [0, 1]}, replicates=SearchReplicates(start=2, confirm=5))
    assert seeds_of([3, 1], spec) == (3, 1, 0, 2, 4)
    assert starting_seeds([3, 1], spec) == (3, 1)
    assert starting_seeds([3], spec) == (3, 0)


Value = Callable[[int, int], tuple[float, float]]
"""AUC and gap of a configuration, by its number and seed."""


def raced(make_study: MakeStudy, folder: Path, value: Value, **changes: object) -> StudySearch:
    """A whole search in which configuration n at seed s has the values `value(n, s)`."""
    search = opened(
        make_study({"configurations": 9, "batch": 3, "replicates": {}, **changes}),
        open_store(str(folder)),
    )
    metrics = ("val/auc", "val/gap_sex")

    def read(runs: tuple[str, ...]) -> Numbers:
        rows = [value(*map(int, run.split("."))) for run in runs]
        return {m: number(*(row[k] for row in rows)) for k, m in enumerate(metrics)}

    history = search.journal.history
    search.race = Racer(search.spec, search.objectives, history, [0], read)
    while new := search.next_round():
        for each in new:
            seeds = history.asked[each.key].seeds
            means = np.mean([value(each.number, s) for s in seeds], axis=0).tolist()
            runs = tuple(f"{each.number}.{s}" for s in seeds)
            search.tell(each.key, Told(seeds, dict(zip(metrics, means, strict=True)), {}, runs))
        search.journal.write()
    return search


def test_a_lucky_first_seed_is_found_out(make_study: MakeStudy, tmp_path: Path) -> None:
    """Number 4 looks best at its first seed only; number 5 is the best."""

    def value(n: int, seed: int) -> tuple[float, float]:
        jitter = (0.001, -0.001, 0.0005)[(n + seed) % 3]
        lucky = 0.08 if n == 4 and seed == 0 else 0.0
        return 0.70 + (0.05 if n == 5 else 0.0) + lucky + jitter, 0.05 - lucky / 4 - jitter / 9

    search = raced(make_study, tmp_path, value)
    history = search.journal.history
    four = history.told["base", 4].values["val/auc"]
    assert four is not None
    assert history.apparent["base", 4].values["val/auc"] > four + 0.01
    assert len(history.asked["base", 4].seeds) > 1
    assert sum(len(each.seeds) - 1 for each in search.asked) <= 6


def test_the_race_ends_when_the_front_is_settled(make_study: MakeStudy, tmp_path: Path) -> None:
    search = raced(make_study, tmp_path, lambda n, s: (0.6 + n / 100 + s * 1e-6, 0.09 - n / 200))
    assert search.ended == {"base": SETTLED}
    assert [len(each.seeds) for each in search.asked] == [1] * 8 + [2]


def test_the_race_ends_when_the_budget_is_spent(make_study: MakeStudy, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(10, 6, 2)) * 0.01
    search = raced(make_study, tmp_path, lambda n, s: tuple(0.5 + noise[n, s]))
    assert search.ended == {"base": SPENT}
    assert sum(len(each.seeds) - 1 for each in search.asked) == 6
    more = opened(
        make_study({"configurations": 9, "batch": 3, "replicates": {"budget": 0.6}}),
        open_store(str(tmp_path)),
    )
    assert len(more.asked) == 9


def test_what_breaks_a_constraint_gets_no_further_seed(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    search = raced(
        make_study,
        tmp_path,
        lambda n, s: (0.6 + n / 100 + s * 1e-6, 0.09 - n / 200),
        constraints=[{"metric": "val/auc", "at_most": 0.675}],
    )
    assert [len(each.seeds) for each in search.asked] == [1] * 6 + [2] + [1] * 2
