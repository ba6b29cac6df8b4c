"""Fair and unfair test sets whose truth is known, as tables of predictions: nothing of the engine.

Labels of a patient's images resemble each other, and so do scores. In group g a label is present
with probability q_g. Given its label an image's score is normal with variance 1 and, in positives,
mean d, so that every group has AUC Phi(d / sqrt 2), the same TPR and the same FPR at any threshold,
whatever its size, prevalence and clusters. Where prevalences are equal AUPRC and Brier score are
equal too. In a calibrated world labels are drawn with the probabilities that the scores say.

Array suffixes: Q patients, N images, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from fairfm_core.evaluation.arrays import Floats, Ints

CLUSTER = 0.5
"""Share of the variance, of labels and of scores, that a patient's images have in common."""
USUAL = 0.3
"""Prevalence for which scores are calibrated; that of validation."""
NAMES = tuple("ABCDEFGH")


@dataclass(frozen=True)
class NullWorld:
    """What is simulated."""

    name: str
    patients: tuple[int, ...]
    """By group; the last one is tested against everybody."""
    prevalence: tuple[float, ...]
    images: tuple[int, ...] = (1,)
    """Images of a patient, by group; one number for all."""
    labels: int = 1
    auc: float = 0.85
    lower: float = 0.0
    """How much lower the AUC of the last group is: 0 in a fair world."""
    calibrated: bool = False

    @property
    def equal_prevalence(self) -> bool:
        """Whether AUPRC and Brier score are equal in all groups too."""
        return len(set(self.prevalence)) == 1

    def draw(self, seed: int) -> pd.DataFrame:
        """Predictions of a validation and a test split."""
        random = np.random.default_rng([seed, 21])
        validation = tuple(2 * n for n in self.patients), (USUAL,) * len(self.patients)
        parts = [
            self._split("val", *validation, random),
            self._split("test", self.patients, self.prevalence, random),
        ]
        return pd.concat(parts, ignore_index=True)

    def _split(
        self,
        split: str,
        patients: tuple[int, ...],
        prevalence: tuple[float, ...],
        random: np.random.Generator,
    ) -> pd.DataFrame:
        group_Q = np.repeat(np.arange(len(patients)), patients)
        images_G = np.array(self.images * (len(patients) if len(self.images) == 1 else 1))
        patient_N = np.repeat(np.arange(len(group_Q)), images_G[group_Q])
        group_N = group_Q[patient_N]
        columns = {
            "image_id": [f"{split}{n:06d}" for n in range(len(patient_N))],
            "patient_id": np.array([f"{split}{q:06d}" for q in range(len(group_Q))])[patient_N],
            "split": split,
            "group": np.array(NAMES)[group_N],
        }
        for label in range(self.labels):
            drawn = self._calibrated if self.calibrated else self._scored
            label_N, logit_N = drawn(patient_N, group_N, np.array(prevalence), random)
            columns[f"y_L{label:02d}"] = label_N.astype(np.float64)
            columns[f"p_L{label:02d}"] = 1 / (1 + np.exp(-logit_N))
        return pd.DataFrame(columns)

    def _scored(
        self, patient_N: Ints, group_N: Ints, prevalence_G: Floats, random: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Labels, then scores of which the positives lie higher; both with patients' effects."""
        label_N = clustered(patient_N, random) < ndtri(prevalence_G)[group_N]
        auc_G = np.full(len(prevalence_G), self.auc)
        auc_G[-1] -= self.lower
        distance_G, usual = np.sqrt(2) * ndtri(auc_G), np.sqrt(2) * ndtri(self.auc)
        score_N = clustered(patient_N, random) + label_N * distance_G[group_N]
        return label_N, usual * score_N - usual**2 / 2 + np.log(USUAL / (1 - USUAL))

    def _calibrated(
        self, patient_N: Ints, group_N: Ints, prevalence_G: Floats, random: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Scores with patients' effects, then labels with the probabilities that they say."""
        mean_G = np.log(prevalence_G / (1 - prevalence_G))
        logit_N = mean_G[group_N] + 1.5 * clustered(patient_N, random)
        return random.random(len(logit_N)) < 1 / (1 + np.exp(-logit_N)), logit_N


def clustered(patient_N: Ints, random: np.random.Generator) -> Floats:
    """Standard normal noise that the images of a patient share in part."""
    common_Q, own_N = (random.standard_normal(n) for n in (patient_N.max() + 1, len(patient_N)))
    noise_N: Floats = np.sqrt(CLUSTER) * common_Q[patient_N] + np.sqrt(1 - CLUSTER) * own_N
    return noise_N


def scored_table(seed: int, table: pd.DataFrame, auc: float = 0.85) -> pd.DataFrame:
    """A real table of labels and attributes with fair scores for every `y_` column."""
    random, patient_N = np.random.default_rng([seed, 22]), pd.factorize(table["patient_id"])[0]
    distance = np.sqrt(2) * ndtri(auc)
    columns = {}
    for name in [str(name) for name in table.columns if str(name).startswith("y_")]:
        score_N = clustered(patient_N, random) + distance * table[name].fillna(0.0).to_numpy()
        columns[f"p_{name[2:]}"] = 1 / (1 + np.exp(-score_N))
    return table.assign(**columns)


SIZES = (400, 200, 120)
SIX = (600, 300, 200, 150, 120, 100)
FAIR = (
    NullWorld("equal", SIZES, (0.3, 0.3, 0.3)),
    NullWorld(".3/.25/.15", SIZES, (0.3, 0.25, 0.15)),
    NullWorld(".3/.3/.17", SIZES, (0.3, 0.3, 0.17)),
    NullWorld(".3/.3/.2", SIZES, (0.3, 0.3, 0.2)),
    NullWorld(".3/.3/.08", SIZES, (0.3, 0.3, 0.08)),
    NullWorld("two groups", (1000, 60), (0.4, 0.4)),
    NullWorld("two, .3/.17", (1000, 150), (0.3, 0.17)),
    NullWorld("six groups", SIX, (0.3, 0.25, 0.2, 0.2, 0.22, 0.26)),
    NullWorld("2 images", SIZES, (0.3, 0.3, 0.17), images=(2,)),
    NullWorld("5 images", SIZES, (0.3, 0.3, 0.15), images=(5,)),
    NullWorld("1/1/5 images", SIZES, (0.3, 0.3, 0.15), images=(1, 1, 5)),
    NullWorld("AUC .95", SIZES, (0.3, 0.3, 0.2), auc=0.95),
    NullWorld("AUC .70", SIZES, (0.3, 0.3, 0.2), auc=0.70),
    NullWorld("5 labels", SIZES, (0.3, 0.3, 0.22), labels=5),
    NullWorld("14 labels", SIZES, (0.3, 0.3, 0.25), labels=14),
    NullWorld("calibrated", SIZES, (0.3, 0.3, 0.25), calibrated=True),
)
UNFAIR = (
    NullWorld("equal", SIZES, (0.3, 0.3, 0.3), lower=0.10),
    NullWorld("two groups", (1000, 60), (0.4, 0.4), lower=0.10),
    NullWorld(".3/.3/.2", SIZES, (0.3, 0.3, 0.2), lower=0.10),
)
