"""What a sampler asks for is a function of what was tried: the same after any interruption."""

from __future__ import annotations

from typing import Any

import pytest

from fairfm_core.config.fingerprint import canonical_json
from sweeps.planning.study import StudySpec, study_searches
from sweeps.search.asked import Searched
from sweeps.search.grammar import SAMPLERS, SearchSpec
from sweeps.search.sampling import PROCESS_EFFORT, Draw, Tried, next_draws, optuna_sampler

from .conftest import CONDITIONAL, MakeStudy

FEW = {"data.sampling": ["standard", "balanced"], "adaptation.pool": ["avg", "token"]}


def searched(make_study: MakeStudy, **search: Any) -> tuple[StudySpec, Searched]:
    study = make_study(search)
    (one,) = study_searches(study)
    return study, one


def asked(study: StudySpec, one: Searched, tried: list[Tried], count: int) -> list[Draw]:
    assert study.search is not None
    return next_draws(one, study.search, study.objectives, tried, count)


def trained(draw: Draw) -> Tried:
    """A smooth world: a learning rate of 1e-3 is best, drop path buys fairness with accuracy."""
    lr = float(draw.choices.get("adaptation.base_lr", 1e-3))
    drop = float(draw.choices.get("adaptation.drop_path", 0.1))
    values = 0.8 - abs(lr - 1e-3) * 10 - drop / 10, 0.05 - drop / 10
    return Tried(draw.choices, values, (0.75 - values[0],), attributes=draw.attributes)


def run(study: StudySpec, one: Searched, count: int, batch: int = 4) -> list[Draw]:
    draws: list[Draw] = []
    while len(draws) < count:
        draws += asked(study, one, [trained(each) for each in draws], batch)
    return draws


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "gp"])
def test_a_batch_depends_on_what_was_tried_alone(make_study: MakeStudy, sampler: str) -> None:
    study, one = searched(make_study, sampler=sampler, configurations=24)
    draws = run(study, one, 24)
    assert run(study, one, 24) == draws
    again = asked(study, one, [trained(each) for each in draws[:16]], 4)
    assert again == draws[16:20]
    assert len({canonical_json(each.choices) for each in draws}) == 24


def test_a_gaussian_process_is_told_how_much_effort_to_make(make_study: MakeStudy) -> None:
    """Optuna has no arguments for it, so another version may have other names."""
    _, one = searched(make_study, sampler="gp")
    sampler = optuna_sampler(one, SearchSpec(parameters=FEW, sampler="gp"), 0)
    plain = type(sampler)(seed=0)
    for name, effort in PROCESS_EFFORT.items():
        assert getattr(sampler, name) == effort < getattr(plain, name)


@pytest.mark.slow
def test_a_gaussian_process_goes_on_as_it_would_have(make_study: MakeStudy) -> None:
    study, one = searched(make_study, sampler="gp", configurations=16)
    draws = run(study, one, 11, batch=11)
    tried = [trained(each) for each in draws]
    assert asked(study, one, tried, 1) == asked(study, one, tried, 1)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "nsga3"])
def test_other_values_lead_elsewhere(make_study: MakeStudy, sampler: str) -> None:
    study, one = searched(make_study, sampler=sampler, configurations=24)
    draws = run(study, one, 20)
    tried = [trained(each) for each in draws]
    swapped = [
        Tried(a.choices, b.values, b.violations, attributes=a.attributes)
        for a, b in zip(tried, reversed(tried), strict=True)
    ]
    assert asked(study, one, tried, 4) != asked(study, one, swapped, 4)


def test_another_seed_asks_for_others(make_study: MakeStudy) -> None:
    study, one = searched(make_study, sampler="random")
    other, same = searched(make_study, sampler="random", seed=1)
    assert asked(study, one, [], 4) != asked(other, same, [], 4)


def test_a_larger_batch_begins_with_the_same_random_draws(make_study: MakeStudy) -> None:
    study, one = searched(make_study, sampler="qmc")
    assert asked(study, one, [], 8)[:3] == asked(study, one, [], 3)


def test_first_points_come_first_and_are_completed(make_study: MakeStudy) -> None:
    study, one = searched(make_study, first=[{"adaptation.base_lr": 1e-3}])
    first, second = asked(study, one, [], 2)
    assert (first.given, second.given) == (True, False)
    assert first.choices["adaptation.base_lr"] == 1e-3
    assert 0 <= float(first.choices["adaptation.drop_path"]) <= 0.3


def test_a_small_space_is_tried_out_once(make_study: MakeStudy) -> None:
    study, one = searched(make_study, parameters=FEW)
    draws = run(study, one, 4)
    assert len({canonical_json(each.choices) for each in draws}) == 4
    assert asked(study, one, [trained(each) for each in draws], 1) == []


def test_conditional_parameters_are_searched(make_study: MakeStudy) -> None:
    study, one = searched(make_study, parameters=CONDITIONAL, configurations=32)
    kinds = {tuple(each.choices) for each in run(study, one, 32)}
    assert kinds == {
        ("adaptation", "adaptation.lr"),
        ("adaptation", "adaptation.base_lr", "adaptation.drop_path"),
    }


def test_failed_ones_teach_nothing_and_are_not_asked_for_again(make_study: MakeStudy) -> None:
    study, one = searched(make_study, parameters=FEW)
    draws = run(study, one, 3, batch=1)
    tried = [Tried(each.choices, failed=True) for each in draws]
    (left,) = asked(study, one, tried, 3)
    assert left.choices not in [each.choices for each in draws]
