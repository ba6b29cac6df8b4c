"""Do intervals hold the truth, are p-values uniform, is what was planted found? By simulation.

A world has patients with one to five images, in two groups. Labels of a patient resemble each other
by a random effect, and so do its scores by another. Given its label an image's score is normal with
variance 1, and the positives of group g lie d_g higher. So the true AUC, of two images of different
patients, is Phi(d_g / sqrt 2) in group g; that of everybody is the mean of these over the groups'
shares, because the negatives of both groups are alike. The seed of a repetition is its number.

The phantom: labels regressed on the pixels of training patients (ridge, a fixed penalty), evaluated
on test patients in a world with planted groups and in the same world without an effect.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, ndtri
from scipy.stats import kstest
from threadpoolctl import threadpool_limits

from benchmarks.cohorts import covariance, problem_of
from benchmarks.sizes import sized
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.splits import random_split
from fairfm_core.data.synthetic.phantom import IMAGES_PER_PATIENT, draw_phantom, phantom_cohort
from fairfm_core.data.synthetic.phantom_world import PhantomWorld
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.disaggregated.counts import count_cells
from fairfm_core.evaluation.disaggregated.fair_draws import fair_deviations
from fairfm_core.evaluation.disaggregated.gaps import gap_of_mean, null_of
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.groups import Groups, everybody
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.predictions import Predictions, Sample, SplitImages
from fairfm_core.evaluation.protocols.weighting import unweighted
from fairfm_core.evaluation.resampling.bootstrap import percentile_intervals, unit_draws
from fairfm_core.evaluation.resampling.delong import influences
from fairfm_core.evaluation.resampling.replicate_values import bootstrap_values
from fairfm_core.seeding import stream

REPETITIONS = sized(1000, 2)
PHANTOM_PATIENTS = sized(5000, 600)
PHANTOM_REPLICATES = sized(1000, 20)
POWER_REPETITIONS = sized(200, 2)
REPLICATES = sized(400, 20)
DRAWS = sized(199, 19)
CONFIDENCE = 0.95
COVERED = (0.93, 0.97)
KOLMOGOROV = 1.358
"""Divided by the square root of the number of p-values: the 5 % bound of their distance."""
PREVALENCE = 0.3
COMMON = 0.5
"""Share of the variance, of labels and of scores, that a patient's images have in common."""
SHARES = np.array([0.6, 0.4])
"""Of the patients in groups A and B."""
NUMBERS = ("everybody", "group A", "group B", "A - B")
CONTRAST_4G = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, -1]])
"""The numbers from the AUCs of everybody, A and B."""
PLANTED = {"race": "Black", "sex": "F"}


@dataclass(frozen=True)
class World:
    """What is simulated."""

    patients: int
    auc: tuple[float, float]
    """True AUC of the groups A and B."""
    pathologies: int = 1

    @property
    def truth_4(self) -> Floats:
        """The true numbers."""
        truth_4: Floats = CONTRAST_4G @ [SHARES @ self.auc, *self.auc]
        return truth_4

    def draw(self, seed: int) -> Simulated:
        """A data set."""
        random, patients = stream(seed, "calibration", self.patients), self.patients
        images_Q = 1 + random.choice(len(IMAGES_PER_PATIENT), patients, p=IMAGES_PER_PATIENT)
        patient_N = np.repeat(np.arange(patients), images_Q)
        code_N = random.choice(2, patients, p=SHARES)[patient_N]
        label_PN = self._noise(patient_N, random) < ndtri(PREVALENCE)
        distance_N = np.sqrt(2) * ndtri(self.auc)[code_N]
        score_PN = distance_N * label_PN + self._noise(patient_N, random)
        names = tuple(f"pathology {p}" for p in range(self.pathologies))
        frame, patient_ids = pd.DataFrame(index=range(len(patient_N))), np.arange(patients)
        patients_of = label_PN.astype(np.float32), patient_ids, patient_N
        images = SplitImages("test", names, frame, frame, *patients_of)
        sample = Sample(images, score_PN[None].astype(np.float32))
        return Simulated(sample, (everybody(len(frame)), Groups("group", ("A", "B"), code_N)))

    def _noise(self, patient_N: Ints, random: np.random.Generator) -> Floats:
        common_PQ = random.standard_normal((self.pathologies, self.patients))
        own_PN = random.standard_normal((self.pathologies, len(patient_N)))
        noise_PN: Floats = np.sqrt(COMMON) * common_PQ[:, patient_N] + np.sqrt(1 - COMMON) * own_PN
        return noise_PN


@dataclass(frozen=True, eq=False)
class Simulated:
    """One data set of a world: everybody, then A and B."""

    sample: Sample
    attributes: tuple[Groups, Groups]

    def auc_BPG(self, weights_BU: npt.NDArray[Any], unit_N: Ints) -> Floats:
        """AUCs of everybody, A and B when units have these weights."""
        problem = problem_of(self.sample)
        by_attribute = bootstrap_values(problem, self.attributes, weights_BU, unit_N)
        return np.concatenate([values["auc"][:, 0] for values in by_attribute], axis=-1)

    def bootstrap(self, seed: int, unit: str) -> Floats:
        """Percentile limits [2, 4] of the numbers with patients or images as units."""
        images_N = np.arange(len(self.sample.patient_N))
        unit_N = self.sample.patient_N if unit == "patients" else images_N
        draws_BU = unit_draws(int(unit_N.max()) + 1, REPLICATES, seed, f"{unit} bootstrap")
        number_B4 = self.auc_BPG(draws_BU, unit_N)[:, 0] @ CONTRAST_4G.T
        intervals = percentile_intervals(number_B4, CONFIDENCE)
        return np.array([[each.lo for each in intervals], [each.hi for each in intervals]])

    def delong(self) -> Floats:
        """Limits [2, 4] of the numbers: clustered DeLong and normal quantiles."""
        results = influences(problem_of(self.sample), self.attributes, self.sample.patient_N)
        auc_G = np.concatenate([auc_SPG[0, 0] for auc_SPG, _ in results])
        influence_QG = np.concatenate([influence[:, 0, 0] for _, influence in results], axis=-1)
        variance_4 = np.diag(CONTRAST_4G @ covariance(influence_QG) @ CONTRAST_4G.T)
        half_4 = ndtri((1 + CONFIDENCE) / 2) * np.sqrt(variance_4)
        limits_24: Floats = CONTRAST_4G @ auc_G + np.array([-half_4, half_4])
        return limits_24

    def p_value(self, seed: int) -> float:
        """P-value of the gap of the mean AUC between A and B."""
        patients = len(self.sample.patient_ids)
        draws_BU = np.concatenate([np.ones((1, patients)), unit_draws(patients, DRAWS, seed)])
        unit_N = self.sample.patient_N
        auc_BPG = self.auc_BPG(draws_BU.astype(np.uint16), unit_N)[..., 1:]
        counts = count_cells(unweighted(self.sample.images), self.attributes[1], min_cases=1)
        value_SPG, replicate_BSPG = auc_BPG[:1], auc_BPG[1:, None]
        fair_BSPG = fair_deviations(AUC, value_SPG, replicate_BSPG, counts.effective_PG2)
        gap = float(gap_of_mean(value_SPG[0]))
        return null_of(gap, gap_of_mean(fair_BSPG[:, 0]), CONFIDENCE).p_value


METHODS: dict[str, Callable[[Simulated, int], Floats]] = {
    "patient bootstrap": lambda data, seed: data.bootstrap(seed, "patients"),
    "clustered DeLong": lambda data, seed: data.delong(),
    "image bootstrap, naive": lambda data, seed: data.bootstrap(seed, "images"),
}


def bench_calibration() -> bool:
    """Print coverages, p-values and the phantom's gaps; whether all are as they should be."""
    began = time.process_time()
    with threadpool_limits(1):
        parts = [_coverage(), _p_values(), _phantom()]
    print(f"  ({time.process_time() - began:.0f} s of CPU, one thread)")
    return all(parts)


def _coverage() -> bool:
    """Share of the repetitions whose interval holds the truth; the naive one is only shown."""
    world = World(400, (0.85, 0.80))
    held_RM4 = np.array([_held(world, seed) for seed in range(REPETITIONS)])
    coverage_M4 = held_RM4.mean(axis=0)
    print(f"coverage of 95 % intervals in %, {REPLICATES} replicates, {REPETITIONS:,}", end=" ")
    print(f"repetitions of {world}:")
    print(" " * 26 + "".join(f"{name:>12s}" for name in NUMBERS))
    for method, coverage_4 in zip(METHODS, coverage_M4, strict=True):
        print(f"  {method:24s}" + "".join(f"{100 * coverage:12.1f}" for coverage in coverage_4))
    lowest, highest = coverage_M4[:2].min(), coverage_M4[:2].max()
    print(f"  (goal: {COVERED[0]:.0%} to {COVERED[1]:.0%}, but for the naive one's;", end=" ")
    print(f"standard error {np.sqrt(0.95 * 0.05 / REPETITIONS):.1%})")
    return bool(COVERED[0] <= lowest and highest <= COVERED[1])


def _held(world: World, seed: int) -> npt.NDArray[np.bool_]:
    """Whether each method's interval of each number holds the truth."""
    data = world.draw(seed)
    lo_M4, hi_M4 = np.stack([limits(data, seed) for limits in METHODS.values()], axis=1)
    held_M4: npt.NDArray[np.bool_] = (lo_M4 <= world.truth_4) & (world.truth_4 <= hi_M4)
    return held_M4


def _p_values() -> bool:
    """P-values of the gap are uniform in a fair world; how often a planted gap is found."""
    fair = World(400, (0.85, 0.85))
    p_R = np.array([fair.draw(seed).p_value(seed) for seed in range(REPETITIONS)])
    distance, bound = float(kstest(p_R, "uniform").statistic), KOLMOGOROV / np.sqrt(len(p_R))
    print(f"p-values of the gap, {DRAWS} draws, {len(p_R):,} repetitions of {fair}:")
    print(f"  distance from uniform {distance:.3f} (Kolmogorov; goal: at most {bound:.3f})", end="")
    print(f", {np.mean(p_R <= 0.05):.1%} at most 0.05")
    for unfair in (World(400, (0.85, 0.80)), World(2000, (0.85, 0.80), pathologies=5)):
        p_R = np.array([unfair.draw(seed).p_value(seed) for seed in range(POWER_REPETITIONS)])
        print(f"  {np.mean(p_R <= 0.05):.1%} at most 0.05 in {len(p_R)} repetitions of {unfair}")
    return bool(distance <= bound)


def _phantom() -> bool:
    """Whether planted groups are the worst with a gap above its null, where there is an effect."""
    as_planted = []
    for effect in (1.0, 0.0):
        settings = EvaluationSettings(metrics=("auc",), replicates=PHANTOM_REPLICATES)
        gaps = evaluate(_pixel_scores(effect), settings).gaps
        for _, gap in gaps[gaps["definition"] == "gap_of_mean"].iterrows():
            planted = PLANTED[gap["attribute"]]
            found = gap["worst_group"] == planted and gap["value"] > gap["null_hi"]
            as_planted.append(found == (effect > 0))
            print(
                f"phantom, effect {effect:g}, {gap['attribute']:4s}: gap {gap['value']:.3f}", end=""
            )
            print(f", null {gap['null_mean']:.3f} up to {gap['null_hi']:.3f}", end="")
            print(f", p {gap['p_value']:.3f}, worst {gap['worst_group']} (planted: {planted})")
    return all(as_planted)


def _pixel_scores(effect: float) -> Predictions:
    """Predictions of test patients by ridge regression on the pixels of training patients."""
    world = PhantomWorld(patients=PHANTOM_PATIENTS, image_size=32, effect=effect)
    frame = phantom_cohort(world)
    pixel_NX = draw_phantom(world, frame).reshape(len(frame), -1) / 255
    split_N = random_split(frame, 0, (0.5, 0.0, 0.5)).to_numpy()
    train_N = split_N == "train"
    pixel_NX -= pixel_NX[train_N].mean(axis=0)
    square_XX = pixel_NX[train_N].T @ pixel_NX[train_N]
    square_XX[np.diag_indices_from(square_XX)] += 0.1 * np.diag(square_XX).mean()
    for name in [name for name in frame.columns if name.startswith("y_")]:
        product_X = pixel_NX[train_N].T @ (frame.loc[train_N, name].to_numpy() - 0.5)
        frame[f"p_{name[2:]}"] = expit(pixel_NX @ np.linalg.solve(square_XX, product_X))
    frame["split"] = split_N
    return Predictions(frame[~train_N].drop(columns="row").reset_index(drop=True))
