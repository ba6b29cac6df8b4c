"""Simulation against formula, and both against evaluations of whole tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.power.formula import (
    detectable_difference,
    detectable_gap,
    patients_for,
)
from fairfm_core.evaluation.power.setting import PowerSetting
from fairfm_core.evaluation.power.simulated_scores import SimulatedCell
from fairfm_core.evaluation.power.simulation import (
    Repetitions,
    simulated_difference,
    simulated_gap,
    simulated_patients,
)
from fairfm_core.evaluation.predictions import Predictions

from .settings import SIX, planned

SETTINGS: dict[str, dict[str, Any]] = {
    "three groups": {},
    "rare finding": {"patients": 3000, "prevalence": (0.06,), "model_correlation": 0.8},
    "images": {"patients": 1500, "images": 2.5, "prevalence": (0.1,), "auc": 0.85},
    "six groups": {"patients": 2000, "shares": SIX, "auc": 0.9},
    "unequal prevalence": {"shares": {"F": 0.8, "M": 0.2}, "prevalence": (0.3, 0.1)},
    "largest group lower": {"lower": "white"},
    "seeds": {"seeds": 3, "seed_sd": 0.02},
    "pathologies": {"patients": 800, "pathologies": 3},
}
REPEATED = 25
"""Evaluated test sets."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_formula_and_simulation_agree_within_10_percent(name: str) -> None:
    setting, repetitions = planned(**SETTINGS[name]), Repetitions(1000)
    gap, difference = detectable_gap(setting), detectable_difference(setting)
    assert gap is not None
    assert difference is not None
    assert simulated_gap(setting, gap, repetitions) == pytest.approx(gap, rel=0.1)
    simulated = simulated_difference(setting, gap, difference, repetitions)
    assert simulated == pytest.approx(difference, rel=0.1)


@pytest.mark.slow
def test_patients_agree_within_10_percent() -> None:
    setting = planned()
    near = patients_for(setting, 0.1, detectable_gap)
    assert near is not None

    def simulated(other: PowerSetting) -> float:
        gap = detectable_gap(other)
        assert gap is not None
        return simulated_gap(other, gap, Repetitions(2000))

    assert simulated_patients(setting, 0.1, near, simulated) == pytest.approx(near, rel=0.1)


def test_simulations_repeat_and_more_patients_detect_less() -> None:
    small, large = planned(1000), planned(2000)
    gaps = [detectable_gap(setting) or 0.0 for setting in (small, large)]
    found = [
        simulated_gap(setting, gap, Repetitions(300))
        for setting, gap in zip((small, large), gaps, strict=True)
    ]
    assert found[0] > found[1]
    assert simulated_gap(small, gaps[0], Repetitions(300)) == found[0]
    assert simulated_gap(small, gaps[0], Repetitions(300, seed=1)) != found[0]


@pytest.mark.slow
def test_evaluate_finds_the_detectable_gap_in_80_percent_of_test_sets() -> None:
    """The whole evaluation with its bootstrap and its null of draws, at the gap by formula."""
    setting = planned(1000, {"A": 0.5, "B": 0.3, "C": 0.2}, (0.3,), lower="C")
    gap = detectable_gap(setting)
    assert gap is not None
    settings = EvaluationSettings(attributes=("group",), metrics=("auc",), replicates=80)
    random = np.random.default_rng(5)
    p_values = []
    for _ in range(REPEATED):
        result = evaluate(Predictions(table(setting, gap, random)), settings)
        rows = result.gaps[result.gaps["definition"] == "gap_of_mean"]
        p_values.append(float(rows["p_value"].iloc[0]))
    share = float(np.mean(np.array(p_values) <= 0.05))
    assert share == pytest.approx(0.8, abs=3 * np.sqrt(0.16 / REPEATED) + 0.05)


def table(setting: PowerSetting, gap: float, random: np.random.Generator) -> pd.DataFrame:
    """One simulated test set as predictions."""
    parts = []
    cells = setting.cohort.class_patients_PG2[0]
    for name, cell_2, auc in zip(setting.cohort.groups, cells, setting.auc_G(gap), strict=True):
        cell = SimulatedCell.of(cell_2, 1.0, setting.models)
        for label, images_Q in enumerate(cell.images):
            score_N = random.standard_normal(len(images_Q)) + label * shift_of(auc)
            score = 1 / (1 + np.exp(-score_N))
            parts.append(pd.DataFrame({"group": name, "y_X": float(label), "p_X": score}))
    frame = pd.concat(parts, ignore_index=True)
    ids = [f"i{n}" for n in range(len(frame))]
    return frame.assign(image_id=ids, patient_id=ids, split="test")


def shift_of(auc: float) -> float:
    return float(np.sqrt(2) * ndtri(auc))
