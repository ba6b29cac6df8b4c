"""The probability of being on the front, under joint draws of patients and seeds."""

from __future__ import annotations

import numpy as np
import pytest

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.selection.front_probability import front_probabilities
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.replicates import Replicated, replicated

OBJECTIVES = (
    Objective(metric="val/auc", goal="maximize"),
    Objective(metric="val/gap_sex", goal="minimize"),
)


def numbers(auc_BS, gap_BS, pairing="same"):
    """A configuration with these replicates on test."""
    columns = {"auc": np.asarray(auc_BS, dtype=float), "gap_sex": np.asarray(gap_BS, dtype=float)}
    return {
        ("full", "test", name): Replicated(np.nanmean(values, axis=0), values, pairing)
        for name, values in columns.items()
    }


def on_front(configurations, seed=0):
    found = front_probabilities(configurations, OBJECTIVES, "full", "test", seed)
    return {name: each.probability for name, each in found.items()}


def test_equals_a_plain_count_of_dominated_rows():
    random = np.random.default_rng(0)
    values = {name: random.random((2, 40, 1)).round(1) for name in "abcd"}
    found = on_front({name: numbers(*pair) for name, pair in values.items()})
    for name in "abcd":
        hits = 0
        for b in range(40):
            auc, gap = values[name][:, b, 0]
            hits += not any(
                (values[o][0, b, 0] >= auc and values[o][1, b, 0] <= gap)
                and (values[o][0, b, 0] > auc or values[o][1, b, 0] < gap)
                for o in "abcd"
            )
        assert found[name] == hits / 40


def test_a_far_better_model_is_always_on_it_and_equal_models_share_it():
    flat = np.zeros((30, 1))
    best, twin, worse = (
        numbers(flat + auc, flat + gap) for auc, gap in ((0.9, 0.01), (0.9, 0.01), (0.8, 0.05))
    )
    assert on_front({"best": best, "twin": twin, "worse": worse}) == {
        "best": 1.0,
        "twin": 1.0,
        "worse": 0.0,
    }


def test_seeds_are_drawn_too():
    """Two seeds, one above and one below the rival: a mean of two drawn seeds wins 3 times in 4."""
    flat = np.zeros((4000, 1))
    scattered = numbers(np.hstack([flat + 0.7, flat + 0.9]), np.hstack([flat, flat]))
    rival = numbers(flat + 0.79, flat)
    found = front_probabilities({"s": scattered, "r": rival}, OBJECTIVES, "full", "test", 0)
    assert found["s"].probability == pytest.approx(0.75, abs=4 * found["s"].error)
    assert found["s"].error == pytest.approx(np.sqrt(0.75 * 0.25 / 4000), rel=0.05)
    again = front_probabilities({"s": scattered, "r": rival}, OBJECTIVES, "full", "test", 0)
    assert found == again


def test_an_undefined_replicate_is_not_on_the_front():
    flat = np.zeros((4, 1))
    holes = numbers([[0.9], [np.nan], [0.9], [np.nan]], flat)
    assert on_front({"holes": holes, "full": numbers(flat + 0.8, flat)}) == {
        "holes": 0.5,
        "full": 0.5,
    }


def test_stored_replicates_draw_the_same_patients(make_frame):
    settings = EvaluationSettings(replicates=60, metrics=("auc",))
    models = {
        f"m{k}": replicated([evaluate(Predictions(make_frame(model=k)), settings)], f"m{k}")
        for k in range(3)
    }
    found = on_front(models)
    assert sum(found.values()) >= 1
    models["same"] = models["m0"]
    assert on_front(models)["same"] == on_front(models)["m0"]
    other = evaluate(Predictions(make_frame(seed=9)), settings)
    with pytest.raises(BadInput, match="m0 and other cannot be paired"):
        on_front(models | {"other": replicated([other], "other")})


def test_a_configuration_without_an_objective_takes_no_part():
    flat = np.zeros((3, 1))
    lacking = {key: value for key, value in numbers(flat, flat).items() if key[2] == "auc"}
    assert on_front({"a": numbers(flat, flat), "lacking": lacking}) == {"a": 1.0}
    assert on_front({"lacking": lacking}) == {}
