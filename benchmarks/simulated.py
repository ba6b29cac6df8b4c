"""Simulated test sets with known truth, and their AUCs in plain numpy: nothing of the engine.

Patients with two images each, in groups. Labels of a patient's images resemble each other, and so
do scores. Given its label an image's score is normal with variance 1, and positives of group g lie
d_g higher, so the true AUC of group g is Phi(d_g / sqrt 2). A training moves d_g: by a common
amount and by one of its own for each group. Noise of the scores has three parts: one that all
models share, one that the training runs of a configuration share, and one of each model. Where
training runs are adaptations of a few pre-trainings, a pre-training moves d_g for all of its own,
and half of the last part is its.

AUCs are means of placements found by binary search. A replicate is first order in the weights of
the patients drawn (the infinitesimal jackknife), which agrees with a full bootstrap in groups of
this size and takes a thousandth of its time; `resampled` is the full one, for comparison.

Array suffixes: Q patients, N images, S seeds, K groups and then everybody, B replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from fairfm_core.evaluation.arrays import Bools, Floats, Ints

IMAGES = 2
CLUSTER = 0.5
"""Share of the variance that a patient's images have in common."""
NOISE = (0.4, 0.3, 0.3)
"""Shares of all models, of a configuration and of each model in the scores' variance."""
COMMON = 0.5
"""Share of the variance between training runs that moves all groups alike."""
OF_PRETRAINING = 0.5
"""Share of a model's own noise that the adaptations of its pre-training have in common."""
ROOT = np.sqrt(2.0)


@dataclass(frozen=True)
class SimulatedWorld:
    """Two configurations, or one, tested on the same patients."""

    patients: tuple[int, ...]
    """By group."""
    auc: tuple[tuple[float, ...], ...]
    """True AUC by configuration and group."""
    seeds: tuple[int, ...] = (1,)
    """Training runs of each configuration."""
    spread: float = 0.0
    """Standard deviation of a group's AUC between training runs."""
    prevalence: float = 0.3
    pretrainings: int = 0
    """Pre-trainings of each configuration, with equally many of its training runs each, one after
    the other; 0: each training run stands alone."""
    pretraining_spread: float = 0.0
    """Standard deviation of a group's AUC between pre-trainings."""

    @property
    def expected(self) -> Floats:
        """The AUC to expect of another training run, [configurations, K]: E Phi(x + s Z) is
        Phi(x / sqrt(1 + s^2)) where training runs move x by s."""
        x_CK = ndtri(np.array(self.auc))
        moved_CK = np.hypot(self.spread, self.pretraining_spread) / _density(x_CK)
        expected_CK: Floats = ndtr(x_CK / np.sqrt(1 + moved_CK**2))
        return expected_CK

    def draw(self, random: np.random.Generator) -> Drawn:
        """A test set with the scores of every training."""
        patients = sum(self.patients)
        patient_N = np.repeat(np.arange(patients), IMAGES)
        group_N = np.repeat(np.arange(len(self.patients)), self.patients)[patient_N]
        label_N = _noise(patient_N, random) < ndtri(self.prevalence)
        shared_N = _noise(patient_N, random)
        scores = []
        for auc, seeds in zip(self.auc, self.seeds, strict=True):
            own_N = _noise(patient_N, random)
            distance_SK = self._distances(np.array(auc), seeds, random)
            noise_SN = self._noise_of_models(patient_N, seeds, random)
            parts = np.sqrt(NOISE[0]) * shared_N + np.sqrt(NOISE[1]) * own_N
            score_SN = parts + np.sqrt(NOISE[2]) * noise_SN
            scores.append(score_SN + label_N * distance_SK[:, group_N])
        return Drawn(patient_N, group_N, label_N, tuple(scores))

    def _distances(self, auc_K: Floats, seeds: int, random: np.random.Generator) -> Floats:
        """How far positives lie above negatives, by training and group."""
        x_K = ndtri(auc_K)
        slope_K, groups = _density(x_K) / ROOT, len(auc_K)
        distance_SK: Floats = ROOT * x_K + self.spread / slope_K * _moves(seeds, groups, random)
        if self.pretrainings:
            moved_UK = self.pretraining_spread / slope_K * _moves(self.pretrainings, groups, random)
            distance_SK = distance_SK + moved_UK.repeat(seeds // self.pretrainings, axis=0)
        return distance_SK

    def _noise_of_models(self, patient_N: Ints, seeds: int, random: np.random.Generator) -> Floats:
        """The part of the scores' noise that is each model's own, [S, N], with variance 1."""
        own_SN = np.array([_noise(patient_N, random) for _ in range(seeds)])
        if not self.pretrainings:
            return own_SN
        shared_UN = np.array([_noise(patient_N, random) for _ in range(self.pretrainings)])
        shared_SN = shared_UN.repeat(seeds // self.pretrainings, axis=0)
        noise_SN: Floats = (
            np.sqrt(OF_PRETRAINING) * shared_SN + np.sqrt(1 - OF_PRETRAINING) * own_SN
        )
        return noise_SN


@dataclass(frozen=True, eq=False)
class Drawn:
    """A drawn test set; the scores of each configuration by seed, [S, N]."""

    patient_N: Ints
    group_N: Ints
    label_N: Bools
    scores: tuple[Floats, ...]

    @property
    def patients(self) -> int:
        """Number of patients."""
        return int(self.patient_N[-1]) + 1

    def members(self) -> list[Bools]:
        """The images of each group, then of everybody."""
        groups = [self.group_N == k for k in range(int(self.group_N.max()) + 1)]
        return [*groups, np.ones(len(self.group_N), dtype=np.bool_)]

    def replicates(self, c: int, weight_BQ: Floats) -> tuple[Floats, Floats]:
        """AUCs of a configuration [S, K + 1], and about them those of the replicates [B, S, K + 1],
        to first order. `weight_BQ`: how often each patient is drawn."""
        score_SN, members = self.scores[c], self.members()
        auc_SK = np.empty((len(score_SN), len(members)))
        influence_QSK = np.empty((self.patients, *auc_SK.shape))
        for s, k in np.ndindex(auc_SK.shape):
            auc_SK[s, k], influence_N = influences(self.label_N, score_SN[s], members[k])
            influence_QSK[:, s, k] = np.bincount(self.patient_N, influence_N, self.patients)
        return auc_SK, auc_SK + np.tensordot(weight_BQ - 1.0, influence_QSK, 1)


def influences(label_N: Bools, score_N: Floats, member_N: Bools) -> tuple[float, Floats]:
    """AUC of some images, and each image's influence on it; ties count one half."""
    positive_N, negative_N = member_N & label_N, member_N & ~label_N
    place_n = _share_below(score_N[positive_N], score_N[negative_N])
    other_n = 1.0 - _share_below(score_N[negative_N], score_N[positive_N])
    auc = float(place_n.mean())
    influence_N = np.zeros(len(score_N))
    influence_N[positive_N] = (place_n - auc) / len(place_n)
    influence_N[negative_N] = (other_n - auc) / len(other_n)
    return auc, influence_N


def resampled(drawn: Drawn, c: int, weight_BQ: Floats) -> Floats:
    """AUCs of the replicates [B, S, K + 1] without approximation: every pair of images."""
    return np.array(
        [
            [
                [_weighted_auc(drawn, score_N, member_N, weight_Q) for member_N in drawn.members()]
                for score_N in drawn.scores[c]
            ]
            for weight_Q in weight_BQ
        ]
    )


def patient_draws(random: np.random.Generator, patients: int, replicates: int) -> Floats:
    """How often each patient is drawn with replacement, [B, Q]."""
    shares = np.full(patients, 1 / patients)
    return random.multinomial(patients, shares, replicates).astype(np.float64)


def true_auc(distance: float) -> float:
    """The AUC of normal scores whose means lie `distance` apart."""
    return float(ndtr(distance / ROOT))


def share_with_error(hits: Sequence[bool]) -> str:
    """A share in percent with its standard error: `5.1 (0.7)`."""
    share = float(np.mean(hits))
    return f"{100 * share:5.1f} ({100 * np.sqrt(share * (1 - share) / len(hits)):.1f})"


def _weighted_auc(drawn: Drawn, score_N: Floats, member_N: Bools, weight_Q: Floats) -> float:
    weight_N = weight_Q[drawn.patient_N]
    above, below = member_N & drawn.label_N, member_N & ~drawn.label_N
    wins = score_N[above][:, None] > score_N[below]
    wins = wins + 0.5 * (score_N[above][:, None] == score_N[below])
    total = weight_N[above].sum() * weight_N[below].sum()
    return float(weight_N[above] @ wins @ weight_N[below] / total)


def _share_below(score_n: Floats, other_n: Floats) -> Floats:
    sorted_n = np.sort(other_n)
    below, up_to = (np.searchsorted(sorted_n, score_n, side) for side in ("left", "right"))
    share_n: Floats = (below + up_to) / (2 * len(other_n))
    return share_n


def _density(x: Floats) -> Floats:
    density: Floats = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return density


def _moves(runs: int, groups: int, random: np.random.Generator) -> Floats:
    """By how many standard deviations each run moves each group, [runs, groups]."""
    common, own = random.standard_normal((runs, 1)), random.standard_normal((runs, groups))
    moves: Floats = np.sqrt(COMMON) * common + np.sqrt(1 - COMMON) * own
    return moves


def _noise(patient_N: Ints, random: np.random.Generator) -> Floats:
    common_Q = random.standard_normal(int(patient_N[-1]) + 1)
    own_N = random.standard_normal(len(patient_N))
    noise_N: Floats = np.sqrt(CLUSTER) * common_Q[patient_N] + np.sqrt(1 - CLUSTER) * own_N
    return noise_N
