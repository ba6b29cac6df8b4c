"""The synthetic table that the benchmarks of the statistics engine share.

As large as the validation and test splits of CheXpert in Glocker et al.: several images a patient,
14 pathologies, race 78/15/7 and sex 59/41 by patient. Labels and scores of a patient resemble each
other; scores are binormal with an AUC of about 0.83, the same for all groups. Scores are float32
probabilities; about 0.1 % of them are tied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, ndtri

from benchmarks.sizes import sized
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.metrics import MetricRequest
from fairfm_core.evaluation.predictions import Sample, sample_of
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.weighting import unweighted
from fairfm_core.seeding import stream

Array = npt.NDArray[Any]

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


VAL = sized(Split("val", 12_673, 4_289), Split("val", 1_200, 500))
TEST = sized(Split("test", 38_240, 12_866), Split("test", 3_000, 1_200))


@dataclass(frozen=True, eq=False)
class Table:
    """The images of a split with the scores of one model, and their 12 groups."""

    sample: Sample
    attributes: tuple[Groups, ...]

    @cached_property
    def all_N(self) -> Array:
        """The place of every image."""
        return np.arange(len(self.sample.frame))

    @property
    def pathologies(self) -> range:
        """The place of every pathology."""
        return range(len(self.sample.pathologies))

    def loop(self, p: int, row_n: Array, auc_of: Callable[[Array, Array], float]) -> list[float]:
        """The AUC of each group among some rows by `auc_of(labels, scores)`: what others write."""
        label_n, score_n = self.sample.label_PN[p, row_n], self.sample.score_SPN[0, p, row_n]
        aucs = []
        for groups in self.attributes:
            code_n = groups.code_N[row_n]
            for g in range(len(groups.names)):
                member_n = code_n == g
                aucs.append(auc_of(label_n[member_n], score_n[member_n]))
        return aucs


@cache
def shared_table() -> Table:
    """The test split: everybody, sex, race, race x sex."""
    sample = sample_of([predictions(TEST)], TEST.name, tuple(PREVALENCE))
    groups = (groups_of(sample.frame, attribute, ()) for attribute in ATTRIBUTES)
    return Table(sample, (everybody(TEST.images), *groups))


def predictions(split: Split, model: int = 0) -> pd.DataFrame:
    """A table of predictions; models differ in their scores alone."""
    random = stream(0, "cohort", split.name)
    more = random.integers(split.patients, size=split.images - split.patients)
    patient_N = np.sort(np.concatenate([np.arange(split.patients), more]))
    columns: dict[str, Any] = {
        "image_id": [f"{split.name}-{n:06d}" for n in range(split.images)],
        "patient_id": [f"{split.name}-p{q:06d}" for q in patient_N],
        "split": split.name,
    }
    for attribute, shares in SHARES.items():
        random = stream(0, "cohort", split.name, attribute)
        columns[attribute] = random.choice([*shares], split.patients, p=[*shares.values()])[
            patient_N
        ]
    for pathology, prevalence in PREVALENCE.items():
        positive_N = _noise(split, patient_N, "label", pathology) < ndtri(prevalence)
        noise_N = _noise(split, patient_N, f"score {model}", pathology)
        score_N = expit(SIGNAL * positive_N + noise_N + ndtri(prevalence))
        columns[f"y_{pathology}"] = positive_N.astype(np.float32)
        columns[f"p_{pathology}"] = score_N.astype(np.float32)
    return pd.DataFrame(columns)


def problem_of(sample: Sample, **settings: Any) -> Problem:
    """The AUCs of every labelled image of a sample."""
    weighting, request = unweighted(sample.images), MetricRequest(("auc",))
    return Problem(sample, weighting, request, EvaluationSettings(**settings))


def covariance(influence_UM: Floats) -> Floats:
    """Covariance [M, M] of M AUCs from the units' influences on them: DeLong's, by clusters."""
    units = len(influence_UM)
    product: Floats = units / (units - 1) * (influence_UM.T @ influence_UM)
    return product


def _noise(split: Split, patient_N: Array, *names: str) -> Array:
    """Standard normal numbers, correlated within a patient."""
    random = stream(0, "cohort", split.name, *names)
    common_Q, own_N = random.standard_normal(split.patients), random.standard_normal(split.images)
    noise_N: Array = np.sqrt(COMMON) * common_Q[patient_N] + np.sqrt(1 - COMMON) * own_N
    return noise_N
