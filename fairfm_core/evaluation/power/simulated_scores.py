"""AUCs of simulated binormal scores: many test sets of one pathology in one group.

The noise of all test sets is drawn and sorted once; moving the positives by d makes any AUC,
Phi(d / sqrt 2), of the same noise. So the AUCs of several true values cost one sort.

Array suffixes: R repetitions (test sets), Q patients, N images, K true values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.power.setting import ModelAssumptions

BLOCK = 1_000_000
"""Scores in memory at a time, so that it does not grow with the repetitions."""
APART = 64.0
"""Added to the scores of each further test set, so that one sorted array holds many."""


@dataclass(frozen=True, eq=False)
class SimulatedCell:
    """The images of one pathology in one group, and how their scores resemble each other."""

    images: tuple[Ints, Ints]
    """Images of each patient, of negatives and of positives."""
    models: ModelAssumptions

    @classmethod
    def of(
        cls, patients_2: Floats, images_per_patient: float, models: ModelAssumptions
    ) -> SimulatedCell:
        """The cell with whole numbers of patients, negatives first, and of their images."""
        negatives, positives = (
            images_of(max(1, round(float(count))), images_per_patient) for count in patients_2
        )
        return cls((negatives, positives), models)

    def aucs(
        self, true_aucs: Sequence[Floats], repetitions: int, random: np.random.Generator
    ) -> list[Floats]:
        """For each of one or two models its AUCs [K, R] at its true values [K].

        The models see the same patients: their noise correlates.
        """
        rows = max(1, BLOCK // sum(int(part.sum()) for part in self.images))
        starts = range(0, repetitions, rows)
        blocks = [
            self._block(true_aucs, min(rows, repetitions - start), random) for start in starts
        ]
        return [np.concatenate(parts, axis=1) for parts in zip(*blocks, strict=True)]

    def _block(
        self, true_aucs: Sequence[Floats], rows: int, random: np.random.Generator
    ) -> list[Floats]:
        negatives, positives = (
            self._noise(images, len(true_aucs), rows, random) for images in self.images
        )
        return [
            shifted_aucs(negative_RN, positive_RN, np.sqrt(2) * ndtri(true_K))
            for negative_RN, positive_RN, true_K in zip(
                negatives, positives, true_aucs, strict=True
            )
        ]

    def _noise(
        self, images_Q: Ints, count: int, rows: int, random: np.random.Generator
    ) -> list[Floats]:
        """Standard normal noise of the images of one class, [R, N] for each model."""
        within, between = self.models.patient_correlation, self.models.model_correlation
        first_RN = clustered_noise(images_Q, within, rows, random)
        further = [
            between * first_RN
            + np.sqrt(1 - between**2) * clustered_noise(images_Q, within, rows, random)
            for _ in range(count - 1)
        ]
        return [first_RN, *further]


def images_of(patients: int, images_per_patient: float) -> Ints:
    """Images of each patient, whole numbers with this mean, never fewer than one."""
    ends = np.floor(np.arange(patients + 1) * images_per_patient + 1e-9).astype(np.int64)
    return np.diff(ends)


def clustered_noise(
    images_Q: Ints, correlation: float, rows: int, random: np.random.Generator
) -> Floats:
    """Standard normal noise [R, N] that the images of a patient share in part."""
    own_RN = random.standard_normal((rows, int(images_Q.sum())))
    if len(own_RN[0]) == len(images_Q):
        return own_RN
    common_RN = np.repeat(random.standard_normal((rows, len(images_Q))), images_Q, axis=1)
    noise_RN: Floats = np.sqrt(correlation) * common_RN + np.sqrt(1 - correlation) * own_RN
    return noise_RN


def shifted_aucs(negative_RN: Floats, positive_RN: Floats, shift_K: Floats) -> Floats:
    """AUCs [K, R] of the test sets with their positives moved by each shift."""
    rows, negatives = negative_RN.shape
    apart_R1 = APART * np.arange(rows)[:, None]
    below_n = (np.sort(negative_RN, axis=1) + apart_R1).ravel()
    positive_RN = np.sort(positive_RN, axis=1) + apart_R1
    before_R1 = negatives * np.arange(rows)[:, None]
    distinct_k, place_K = np.unique(shift_K, return_inverse=True)
    aucs = [
        (np.searchsorted(below_n, positive_RN + shift) - before_R1).mean(axis=1) / negatives
        for shift in distinct_k
    ]
    return np.array(aucs)[place_K]
