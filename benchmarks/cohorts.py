"""The synthetic table that the benchmarks of the statistics engine share.

As large as CheXpert's test and validation splits in Glocker et al.: several images a patient, 14
pathologies, race 78/15/7 and sex 59/41 by patient. Labels and scores of a patient resemble each
other; scores are binormal with an AUC of about 0.83, the same for all groups. Scores are float32
probabilities, nearly all distinct.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, ndtri

from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.sample import Sample, sample_of
from fairfm_core.seeding import stream

PREVALENCE = {
    "No Finding": 0.10,
    "Enlarged Cardiomediastinum": 0.05,
    "Cardiomegaly": 0.12,
    "Lung Opacity": 0.47,
    "Lung Lesion": 0.04,
    "Edema": 0.23,
    "Consolidation": 0.07,
    "Pneumonia": 0.035,
    "Atelectasis": 0.15,
    "Pneumothorax": 0.09,
    "Pleural Effusion": 0.38,
    "Pleural Other": 0.03,
    "Fracture": 0.04,
    "Support Devices": 0.50,
}
SHARES = {"race": {"White": 0.78, "Asian": 0.15, "Black": 0.07}, "sex": {"M": 0.59, "F": 0.41}}
ATTRIBUTES = ("sex", "race", "race x sex")
SIGNAL = float(np.sqrt(2) * ndtri(0.83))
"""Distance of the two classes' mean scores, in standard deviations."""
COMMON = 0.4
"""Share of the variance that the images of a patient have in common, of labels and of scores."""


@dataclass(frozen=True)
class Split:
    """How large a split is."""

    name: str
    images: int
    patients: int


VAL = Split("val", 12_673, 4_289)
TEST = Split("test", 38_240, 12_866)


def predictions(split: Split, model: int = 0) -> pd.DataFrame:
    """A table of predictions; models differ in their scores alone."""
    patient_N = _patients(split)
    columns = _identity(split, patient_N)
    for pathology, prevalence in PREVALENCE.items():
        noise_N = _noise(split, patient_N, "label", pathology)
        positive_N = noise_N < ndtri(prevalence)
        noise_N = _noise(split, patient_N, "score", str(model), pathology)
        score_N = expit(SIGNAL * positive_N + noise_N + ndtri(prevalence))
        columns[f"y_{pathology}"] = positive_N.astype(np.float32)
        columns[f"p_{pathology}"] = score_N.astype(np.float32)
    return pd.DataFrame(columns)


def sample(split: Split = TEST, model: int = 0) -> Sample:
    """The images of a split with the scores of one model."""
    return sample_of([predictions(split, model)], split.name, tuple(PREVALENCE))


def attributes(images: Sample) -> list[Groups]:
    """Everybody, sex, race, race x sex: 12 groups."""
    frame = images.frame
    return [everybody(len(frame)), *(groups_of(frame, name, ()) for name in ATTRIBUTES)]


def _patients(split: Split) -> npt.NDArray[np.int64]:
    """The patient of each image: one image each, the others where they fall."""
    random = stream(0, "cohort", split.name, "images")
    more = random.integers(split.patients, size=split.images - split.patients)
    return np.sort(np.concatenate([np.arange(split.patients), more]))


def _identity(split: Split, patient_N: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.object_]]:
    """Keys and attributes."""
    columns = {
        "image_id": [f"{split.name}-{n:06d}" for n in range(split.images)],
        "patient_id": [f"{split.name}-p{q:06d}" for q in patient_N],
        "split": [split.name] * split.images,
    }
    for attribute, shares in SHARES.items():
        random = stream(0, "cohort", split.name, attribute)
        group_Q = random.choice(list(shares), size=split.patients, p=list(shares.values()))
        columns[attribute] = group_Q[patient_N].tolist()
    return {name: np.array(values, dtype=object) for name, values in columns.items()}


def _noise(
    split: Split, patient_N: npt.NDArray[np.int64], *names: str
) -> npt.NDArray[np.float64]:
    """Standard normal numbers, correlated within a patient."""
    random = stream(0, "cohort", split.name, *names)
    common_Q = random.standard_normal(split.patients)
    own_N = random.standard_normal(split.images)
    return np.sqrt(COMMON) * common_Q[patient_N] + np.sqrt(1 - COMMON) * own_N
