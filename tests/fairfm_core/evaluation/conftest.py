"""Predictions of a made-up model whose AUC per group is known."""

import numpy as np
import pandas as pd
import pytest


def _frame(images=200, split="test", seed=0, pathologies=("Edema", "Fracture"), harm=0.0, model=0):
    """About two images a patient; `harm` lowers the signal of the group race=Black."""
    rng = np.random.default_rng(seed)
    patients = max(1, images // 2)
    patient = rng.integers(patients, size=images)
    sex = rng.choice(["F", "M"], size=patients)
    race = rng.choice(["Asian", "Black", "White"], p=[0.2, 0.3, 0.5], size=patients)
    columns = {
        "image_id": [f"{split}-{i:05d}" for i in range(images)],
        "patient_id": [f"{split}-p{p:04d}" for p in patient],
        "split": split,
        "sex": sex[patient],
        "race": race[patient],
        "age": rng.uniform(20, 95, size=images),
    }
    noise = np.random.default_rng([seed, model])
    for name in pathologies:
        label = (rng.random(images) < 0.4).astype(float)
        signal = np.where(race[patient] == "Black", 1.2 - harm, 1.2) * label
        score = 1 / (1 + np.exp(-(signal + noise.normal(size=images))))
        label[rng.random(images) < 0.05] = np.nan
        columns[f"y_{name}"] = label
        columns[f"p_{name}"] = score.astype(np.float32)
    return pd.DataFrame(columns)


@pytest.fixture(scope="session")
def make_frame():
    return _frame
