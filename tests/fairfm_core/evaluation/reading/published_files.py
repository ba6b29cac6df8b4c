"""Files as MEDFAIR, chexploration and CheXclusion write them, of one made-up CheXpert test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fairfm_core.evaluation.reading.layout import read_layout

PATHOLOGIES = read_layout("chexploration").pathologies
IMAGES = 240


def cohort(split: str = "test", images: int = IMAGES, seed: int = 0) -> pd.DataFrame:
    """Rows as in CheXpert's csv: path, sex, age, race and labels, uncertain and blank ones too."""
    random = np.random.default_rng(seed)
    patient_N = np.arange(images) // 2
    paths = [
        f"CheXpert-v1.0/train/patient{p:05d}/study{n % 2}/view1_frontal.jpg"
        for n, p in enumerate(patient_N)
    ]
    frame = pd.DataFrame({"Path": paths, "Unnamed: 0": np.arange(images)})
    frame["Sex"] = np.array(["Male", "Female"])[random.integers(2, size=images // 2)][patient_N]
    frame["Race"] = np.array(["White", "Black", "Asian"])[patient_N % 3]
    frame["Age"] = random.integers(20, 90, size=images)
    for name in PATHOLOGIES:
        frame[name] = random.choice([1.0, 0.0, -1.0, np.nan], size=images, p=[0.4, 0.3, 0.1, 0.2])
    return frame.assign(split=split)


def logits(people: pd.DataFrame, seed: int = 1) -> np.ndarray:
    """Scores of all pathologies, [images, pathologies]."""
    random = np.random.default_rng(seed)
    present = (people[list(PATHOLOGIES)] == 1).to_numpy()
    return random.normal(size=present.shape) + present


def write_chexploration(folder: Path, people: pd.DataFrame, split: str = "test") -> Path:
    """`predictions_<split>.csv`: probabilities, logits and targets by number, row by row.

    Returns the table of the sample.
    """
    folder.mkdir(exist_ok=True)
    score_NP = logits(people)
    target_NP = (people[list(PATHOLOGIES)] == 1).astype(float).to_numpy()
    parts = {"class": 1 / (1 + np.exp(-score_NP)), "logit": score_NP, "target": target_NP}
    columns = {f"{name}_{k}": part[:, k] for name, part in parts.items() for k in range(14)}
    pd.DataFrame(columns).to_csv(folder / f"predictions_{split}.csv", index=False)
    sample = people.rename(columns={"Sex": "sex", "Race": "race", "Age": "age"})
    sample["patient_id"] = sample["Path"].str.split("/").str[2]
    place = folder.parent / f"full_sample_{split}.csv"
    sample.to_csv(place, index=False)
    return place


def write_chexclusion(folder: Path, people: pd.DataFrame) -> Path:
    """`preds.csv`, `True.csv` and what else lies beside them, in the order of a shuffled loader;
    returns the csv of the split."""
    folder.mkdir(exist_ok=True)
    order = np.random.default_rng(2).permutation(len(people))
    shown = people.iloc[order].reset_index(drop=True)
    chance_NP = 1 / (1 + np.exp(-logits(people)[order]))
    scores = {f"prob_{name}": chance_NP[:, k] for k, name in enumerate(PATHOLOGIES)}
    truth = {name: (shown[name] > 0).astype(float) for name in PATHOLOGIES}
    decided = {f"bi_{name}": chance_NP[:, k] > 0.5 for k, name in enumerate(PATHOLOGIES)}
    for file, columns in {"preds": scores, "True": truth, "bipred": decided}.items():
        table = pd.DataFrame({"Path": shown["Path"], **columns})
        table.to_csv(folder / f"{file}.csv", index=False)
    place = folder.parent / "new_test.csv"
    people.drop(columns=["split", "Race"]).to_csv(place, index=False)
    return place


def write_medfair(folder: Path, people: pd.DataFrame) -> Path:
    """`pred.csv`: row number, decision and label in the order of a shuffled loader.

    Returns the csv of the split.
    """
    folder.mkdir(exist_ok=True)
    order = np.random.default_rng(3).permutation(len(people))
    table = pd.DataFrame(
        {
            "index": order,
            "pred": (logits(people)[order, 0] > 0.5).astype(float),
            "label": (people["No Finding"].to_numpy()[order] > 0).astype(float),
        }
    )
    table.to_csv(folder / "pred.csv", index=False)
    place = folder.parent / "test_meta.csv"
    short = {"Male": "M", "Female": "F"}
    people.assign(Sex=people["Sex"].map(short)).to_csv(place, index=False)
    return place
