"""Smallest detectable gaps by formula: no simulation, a fraction of a second.

One lower group has an AUC below that of all others. Groups' AUCs are means over pathologies, whose
errors are taken to be independent, and over seeds; each is normal about its true value. A gap
(gap_of_mean: largest minus smallest) is found if it exceeds what fair models of the same common AUC
show in 95 % of test sets: the quantile of a range of normals. A difference of the gaps of two
models of the same patients is found if Student's t of it is significant at 5 %, two-sided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.fair_draws import FEWEST_PATIENTS, common_value
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.power.auc_variance import auc_variance, model_correlation_of_errors
from fairfm_core.evaluation.power.normal_range import (
    largest_of,
    range_probability,
    range_quantile,
)
from fairfm_core.evaluation.power.setting import LEVEL, POWER, PowerSetting
from fairfm_core.evaluation.resampling.student import quantile

MOST_PATIENTS = 1e9
"""The largest cohort that is looked for."""


@dataclass(frozen=True)
class NullGap:
    """The gap that fair models show by noise alone."""

    mean: float
    hi: float
    """Exceeded by 5 % of fair models."""


def common_auc(setting: PowerSetting, gap: float) -> Floats:
    """The common AUC of each pathology to which the null of a gap refers, [P, 1]."""
    cells_PG2 = setting.cohort.class_patients_PG2
    auc_SPG = np.broadcast_to(setting.auc_G(gap), (1, *cells_PG2.shape[:2]))
    return common_value(AUC, auc_SPG, cells_PG2)[0]


def group_errors(setting: PowerSetting, auc_PG: Floats) -> Floats:
    """Standard error of each group's mean AUC over pathologies and seeds, [G]."""
    models = setting.models
    of_seeds = models.seed_sd**2 / models.seeds
    errors: Floats = np.sqrt(_patients_variance(setting, auc_PG) + of_seeds)
    return errors


def _patients_variance(setting: PowerSetting, auc_PG: Floats) -> Floats:
    cohort = setting.cohort
    shape = cohort.class_patients_PG2.shape[:2]
    variance_PG = auc_variance(
        np.broadcast_to(auc_PG, shape),
        cohort.class_patients_PG2,
        cohort.images_per_patient,
        setting.models.patient_correlation,
    )
    of_mean_G: Floats = variance_PG.sum(axis=0) / len(variance_PG) ** 2
    return of_mean_G


def null_gap(setting: PowerSetting, gap: float = 0.0) -> NullGap:
    """What fair models show of which the AUC is the common one at a true gap."""
    sd_G = group_errors(setting, common_auc(setting, gap))
    return NullGap(2 * largest_of(sd_G).mean, range_quantile(1 - LEVEL, sd_G))


def gap_power(setting: PowerSetting, gap: float) -> float:
    """Probability that a true gap is found."""
    threshold = range_quantile(1 - LEVEL, group_errors(setting, common_auc(setting, gap)))
    auc_G = setting.auc_G(gap)
    return 1 - range_probability(threshold, auc_G, group_errors(setting, auc_G))


def detectable_gap(setting: PowerSetting) -> float | None:
    """The smallest true gap that is found with a power of 80 %; None where there is none.

    None means that even a useless AUC of 0.5 in the lower group would be missed too often.
    """
    return _smallest(lambda gap: gap_power(setting, gap) - POWER, setting.largest_gap)


@dataclass(frozen=True)
class ContrastError:
    """How well a difference of two gaps is known."""

    error: float
    freedom: float

    @property
    def detectable(self) -> float:
        """The difference found with a power of 80 %, at a level of 5 % two-sided."""
        reach = quantile(self.freedom, 1 - LEVEL / 2) + quantile(self.freedom, POWER)
        return reach * self.error


def difference_error(setting: PowerSetting, base: float, difference: float) -> ContrastError:
    """The error of the difference of two clear gaps, `base` and `base` + `difference`.

    A clear gap is the largest of the others less the lower group. With r the correlation of two
    models' errors, c1 = sum of (share as the largest)^2 variance, the covariance of two largest is
    r c1 + r^2 (variance of the largest - c1): the first terms of its Hermite expansion.
    """
    models, cohort = setting.models, setting.cohort
    auc_G = setting.auc_G(base + difference / 2)
    patients_G = _patients_variance(setting, auc_G)
    of_seeds = models.seed_sd**2 / models.seeds
    total_G = patients_G + of_seeds
    own_G = model_correlation_of_errors(
        auc_G, cohort.images_per_patient, models.patient_correlation, models.model_correlation
    )
    shared_G = own_G * patients_G / total_G
    others = np.delete(np.arange(len(auc_G)), setting.lower)
    largest = largest_of(np.sqrt(total_G[others]))
    first_G = largest.share_G**2 * total_G[others]
    r = float((first_G * shared_G[others]).sum() / first_G.sum())
    rest = largest.variance - float(first_G.sum())
    variance = 2 * total_G[setting.lower] * (1 - shared_G[setting.lower])
    variance += 2 * (largest.variance - r * first_G.sum() - r**2 * rest)
    seeds = of_seeds * (1 + largest.variance / float(largest.share_G @ total_G[others]))
    return ContrastError(float(np.sqrt(variance)), _freedom(float(variance), seeds, models.seeds))


def _freedom(variance: float, seeds_variance: float, seeds: int) -> float:
    """Of Welch and Satterthwaite; the spread of a single training run is taken to be known."""
    if seeds_variance == 0 or seeds == 1:
        return np.inf
    return variance**2 / (2 * seeds_variance**2 / (seeds - 1))


def detectable_difference(setting: PowerSetting) -> float | None:
    """The smallest true difference of two models' gaps that is found with a power of 80 %.

    The fairer model has the smallest detectable gap. None where the other's lower group would need
    an AUC below 0.5.
    """
    base = detectable_gap(setting)
    if base is None:
        return None
    return _smallest(
        lambda extra: extra - difference_error(setting, base, extra).detectable,
        setting.largest_gap - base,
    )


def patients_for(
    setting: PowerSetting, wanted: float, detectable: Callable[[PowerSetting], float | None]
) -> float | None:
    """Patients of the smallest cohort of these shares of which `wanted` is detectable.

    Never fewer than give 20 patients of a class in every group. None where a thousand million
    patients are too few.
    """
    patients = setting.cohort.patients

    def excess(log_factor: float) -> float:
        found = detectable(setting.scaled(float(np.exp(log_factor))))
        return 1.0 if found is None else found - wanted

    fewest = float(np.log(FEWEST_PATIENTS / setting.cohort.fewest))
    most = float(np.log(MOST_PATIENTS / patients))
    if excess(fewest) <= 0:
        return patients * float(np.exp(fewest))
    if excess(most) > 0:
        return None
    return patients * float(np.exp(brentq(excess, fewest, most, xtol=1e-4)))


def _smallest(excess: Callable[[float], float], largest: float) -> float | None:
    """Where an increasing function crosses 0 below `largest`; None where it does not."""
    smallest = 1e-6
    if largest <= smallest or excess(largest) < 0:
        return None
    return float(brentq(excess, smallest, largest, xtol=1e-6))
