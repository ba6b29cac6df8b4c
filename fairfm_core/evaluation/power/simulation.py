"""Smallest detectable gaps by simulation: test sets are drawn and tested as an evaluation does.

In every simulated test set scores are drawn, AUCs computed, the gap taken (`gap_of_mean`) and
compared with the gaps of fair models of the same common AUC (`null_of`). Five true gaps about the
one by formula are planted in the same noise; the gap with a power of 80 % is read off the line
through the normal quantiles of their powers.

Array suffixes: R repetitions (test sets), P pathologies, G groups, K planted gaps, S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.gaps import gap_of_mean, max_minus_min, null_of
from fairfm_core.evaluation.power.formula import common_auc
from fairfm_core.evaluation.power.setting import LEVEL, POWER, PowerSetting
from fairfm_core.evaluation.power.simulated_scores import SimulatedCell
from fairfm_core.seeding import stream

PLANTED = np.linspace(0.85, 1.15, 5)
"""The planted gaps, as multiples of the one by formula."""
COMBINED = 10_000
"""Test sets that fewer are recombined to: a power and a 95 % bound read off 2,000 add as much noise
to a number of patients as the scores of 400 do."""


@dataclass(frozen=True)
class Repetitions:
    """How many test sets are simulated, and from which random streams."""

    count: int
    seed: int = 0

    @property
    def copies(self) -> int:
        """How often the AUCs of all test sets are recombined: fewer test sets more often."""
        return max(1, COMBINED // self.count)


def simulated_gap(setting: PowerSetting, near: float, repetitions: Repetitions) -> float:
    """The smallest detectable gap, simulated about the one by formula, `near`."""
    return _at_power(near * PLANTED, gap_powers(setting, near * PLANTED, repetitions))


def gap_powers(setting: PowerSetting, gap_K: Floats, repetitions: Repetitions) -> Floats:
    """Share of the test sets in which a true gap is found, [K]."""
    common_P1 = common_auc(setting, float(gap_K.mean()))

    def true_values(p: int, g: int) -> list[Floats]:
        planted_K = np.array([setting.auc_G(gap)[g] for gap in gap_K])
        return [np.append(common_P1[p], planted_K)]

    (auc_KRPG,) = _drawn(setting, true_values, repetitions)
    shift_RG = _seed_shifts(setting, repetitions, "a").mean(axis=1)
    gap_KR = gap_of_mean(auc_KRPG + shift_RG[:, None, :])
    threshold = null_of(0.0, gap_KR[0], 1 - LEVEL).hi
    powers_K: Floats = (gap_KR[1:] > threshold).mean(axis=1)
    return powers_K


def simulated_difference(
    setting: PowerSetting, base: float, near: float, repetitions: Repetitions
) -> float:
    """The smallest detectable difference from a gap of `base`, simulated about `near`."""
    return _at_power(near * PLANTED, difference_powers(setting, base, near * PLANTED, repetitions))


def difference_powers(
    setting: PowerSetting, base: float, extra_K: Floats, repetitions: Repetitions
) -> Floats:
    """Share of the test sets in which the gaps `base` and `base` + extra differ significantly."""

    def true_values(p: int, g: int) -> list[Floats]:
        less_fair_K = np.array([setting.auc_G(base + extra)[g] for extra in extra_K])
        return [less_fair_K, setting.auc_G(base)[g : g + 1]]

    drawn = _drawn(setting, true_values, repetitions)
    models = [
        _SimulatedModel(auc_KRPG.mean(axis=2), _seed_shifts(setting, repetitions, name))
        for auc_KRPG, name in zip(drawn, ("a", "b"), strict=True)
    ]
    difference_KR = models[0].gap_KR - models[1].gap_KR
    if setting.models.seeds == 1 or setting.models.seed_sd == 0:
        return _found(difference_KR, difference_KR.std(axis=1, keepdims=True), np.inf)
    patients_KR = models[0].gap_of_patients_KR - models[1].gap_of_patients_KR
    parts = [model.seeds_variance_KR for model in models]
    variance_KR = patients_KR.var(axis=1, keepdims=True) + parts[0] + parts[1]
    bottom_KR = (parts[0] ** 2 + parts[1] ** 2) / (setting.models.seeds - 1)
    return _found(difference_KR, np.sqrt(variance_KR), variance_KR**2 / bottom_KR)


@dataclass(frozen=True, eq=False)
class _SimulatedModel:
    """One of two models: its groups' mean AUCs, and what training runs move them by."""

    auc_KRG: Floats
    shift_RSG: Floats

    @property
    def gap_KR(self) -> Floats:
        """Of the AUCs averaged over seeds."""
        return max_minus_min(self.auc_KRG + self.shift_RSG.mean(axis=1))

    @property
    def gap_of_patients_KR(self) -> Floats:
        """Without what training runs add."""
        return max_minus_min(self.auc_KRG)

    @property
    def seeds_variance_KR(self) -> Floats:
        """Of the mean over seeds, estimated from the gaps of the seeds."""
        gap_KRS = max_minus_min(self.auc_KRG[:, :, None] + self.shift_RSG)
        variance_KR: Floats = gap_KRS.var(axis=2, ddof=1) / gap_KRS.shape[2]
        return variance_KR


def simulated_patients(
    setting: PowerSetting, wanted: float, near: float, detectable: Callable[[PowerSetting], float]
) -> float:
    """Patients of which `wanted` is detectable, simulated about their number by formula, `near`.

    Errors fall with the square root of the patients, so one step from `near` is enough.
    """
    found = detectable(setting.scaled(near / setting.cohort.patients))
    return near * (found / wanted) ** 2


def _found(difference_KR: Floats, error_KR: Floats, freedom_KR: Floats | float) -> Floats:
    """Share of the test sets, [K], in which Student's t is significant."""
    critical = stdtrit(freedom_KR, 1 - LEVEL / 2)
    powers_K: Floats = (np.abs(difference_KR) > critical * error_KR).mean(axis=1)
    return powers_K


def _drawn(
    setting: PowerSetting,
    true_values: Callable[[int, int], Sequence[Floats]],
    repetitions: Repetitions,
) -> list[Floats]:
    """AUCs [K, R, P, G] of each model at its true values in a pathology and group."""
    cohort = setting.cohort
    cells: list[list[list[Floats]]] = []
    for p in range(len(cohort.pathologies)):
        cells.append([])
        for g, name in enumerate(cohort.groups):
            cell = SimulatedCell.of(
                cohort.class_patients_PG2[p, g], cohort.images_per_patient, setting.models
            )
            random = stream(repetitions.seed, "power", p, name)
            cells[-1].append(cell.aucs(true_values(p, g), repetitions.count, random))
    models = range(len(cells[0][0]))
    auc_MKRPG = [
        np.stack([_stacked([cell[m] for cell in row]) for row in cells], axis=2) for m in models
    ]
    return [_recombined(auc_KRPG, repetitions) for auc_KRPG in auc_MKRPG]


def _recombined(auc_KRPG: Floats, repetitions: Repetitions) -> Floats:
    """Further test sets [K, copies R, P, G] of the AUCs of several.

    Pathologies and groups are independent, so each cell may come from a test set of its own. The
    same for all models, which see the same patients.
    """
    random = stream(repetitions.seed, "power recombined")
    _, rows, *cells = auc_KRPG.shape
    start_C1PG = random.integers(rows, size=(repetitions.copies, 1, *cells))
    place_CRPG = (start_C1PG + np.arange(rows)[:, None, None]) % rows
    return np.take_along_axis(auc_KRPG, place_CRPG.reshape(1, -1, *cells), axis=1)


def _stacked(of_groups: Sequence[Floats]) -> Floats:
    """The groups' AUCs [K, R] as [K, R, G]; one true value stands for all."""
    most = max(len(auc_KR) for auc_KR in of_groups)
    return np.stack(
        [np.broadcast_to(auc_KR, (most, auc_KR.shape[1])) for auc_KR in of_groups], axis=-1
    )


def _seed_shifts(setting: PowerSetting, repetitions: Repetitions, model: str) -> Floats:
    """What training runs move the groups' mean AUCs by, [R, S, G]."""
    shape = (
        repetitions.count * repetitions.copies,
        setting.models.seeds,
        len(setting.cohort.groups),
    )
    random = stream(repetitions.seed, "power seeds", model)
    shift_RSG: Floats = setting.models.seed_sd * random.standard_normal(shape)
    return shift_RSG


def _at_power(value_K: Floats, power_K: Floats) -> float:
    """The value with a power of 80 %, on the line through the normal quantiles of the powers."""
    quantile_K = ndtri(np.clip(power_K, 0.005, 0.995))
    slope, intercept = np.polyfit(value_K, quantile_K, 1)
    return float((ndtri(POWER) - intercept) / slope)
