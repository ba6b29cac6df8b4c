"""What a planned study can find, by formula and by simulation, as rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.power.formula import (
    detectable_difference,
    detectable_gap,
    patients_for,
)
from fairfm_core.evaluation.power.setting import LEVEL, POWER, PowerSetting
from fairfm_core.evaluation.power.simulation import (
    Repetitions,
    simulated_difference,
    simulated_gap,
    simulated_patients,
)

COLUMNS = (
    *("quantity", "wanted", "formula", "simulation", "definition", "level", "power"),
    *("split", "protocol", "patients", "seeds", "lower_group", "repetitions", "reason"),
)
GAP, DIFFERENCE = "smallest detectable gap", "smallest detectable difference of two gaps"
PATIENTS_GAP, PATIENTS_DIFFERENCE = "patients for a gap", "patients for a difference of two gaps"
SCORES = 100_000_000
"""Simulated scores of one number, from which the default of the repetitions follows."""
MOST_REPETITIONS, FEWEST_REPETITIONS = 2000, 200


@dataclass(frozen=True, eq=False)
class PowerRequest:
    """What is asked of a planned study."""

    setting: PowerSetting
    split: str
    repetitions: Repetitions
    gap: float | None = None
    """A gap, in AUC, for which patients are counted."""
    difference: float | None = None
    """A difference of two models' gaps, likewise."""

    def __post_init__(self) -> None:
        largest = self.setting.largest_gap
        for option, value in (("gap", self.gap), ("gap-difference", self.difference)):
            if value is not None and not 0 < value < largest:
                raise BadInput(
                    f"{option}: must lie between 0 and {largest:g} (AUC of"
                    f" {self.setting.models.auc:g} less 0.5), not {value:g}"
                )
        if 0 < self.repetitions.count < FEWEST_REPETITIONS:
            raise BadInput(
                f"repetitions: must be 0 (formula only) or at least {FEWEST_REPETITIONS}, not"
                f" {self.repetitions.count}"
            )


def usual_repetitions(setting: PowerSetting) -> int:
    """Simulated test sets: 2,000, fewer of large cohorts, and at least 200."""
    cohort = setting.cohort
    scores = float(cohort.class_patients_PG2.sum()) * cohort.images_per_patient
    return int(min(MOST_REPETITIONS, max(FEWEST_REPETITIONS, SCORES / scores)))


def power_rows(request: PowerRequest) -> pd.DataFrame:
    """One row for each number; gaps in AUC (0..1), patients as they are."""
    rows = [_gap_row(request), _difference_row(request)]
    if request.gap is not None:
        rows.append(_patients_row(request, PATIENTS_GAP, request.gap, detectable_gap, _near_gap))
    if request.difference is not None:
        rows.append(
            _patients_row(
                *(request, PATIENTS_DIFFERENCE, request.difference),
                *(detectable_difference, _near_difference),
            )
        )
    return pd.DataFrame([_stated(request) | row for row in rows], columns=list(COLUMNS))


Row = dict[str, object]
Simulated = Callable[[PowerSetting, Repetitions], float]


def _gap_row(request: PowerRequest) -> Row:
    found = detectable_gap(request.setting)
    simulation = _simulation(request, found, _near_gap)
    reason = None if found else _undetectable(request.setting, "gap")
    return {"quantity": GAP, "formula": found, "simulation": simulation, "reason": reason}


def _difference_row(request: PowerRequest) -> Row:
    found = detectable_difference(request.setting)
    simulation = _simulation(request, found, _near_difference)
    reason = None if found else _undetectable(request.setting, "difference")
    return {"quantity": DIFFERENCE, "formula": found, "simulation": simulation, "reason": reason}


def _patients_row(
    request: PowerRequest,
    quantity: str,
    wanted: float,
    detectable: Callable[[PowerSetting], float | None],
    simulated: Simulated,
) -> Row:
    patients = patients_for(request.setting, wanted, detectable)
    row: Row = {"quantity": quantity, "wanted": wanted, "formula": patients, "simulation": None}
    if patients is None:
        return row | {"reason": _too_few(request.setting, quantity)}
    if request.repetitions.count:
        row["simulation"] = simulated_patients(
            *(request.setting, wanted, patients), lambda each: simulated(each, request.repetitions)
        )
    return row


def _simulation(request: PowerRequest, found: float | None, simulated: Simulated) -> float | None:
    if found is None or not request.repetitions.count:
        return None
    return simulated(request.setting, request.repetitions)


def _near_gap(setting: PowerSetting, repetitions: Repetitions) -> float:
    near = detectable_gap(setting)
    assert near is not None
    return simulated_gap(setting, near, repetitions)


def _near_difference(setting: PowerSetting, repetitions: Repetitions) -> float:
    base, near = detectable_gap(setting), detectable_difference(setting)
    assert base is not None
    assert near is not None
    return simulated_difference(setting, base, near, repetitions)


def _undetectable(setting: PowerSetting, what: str) -> str:
    return (
        f"no {what} is large enough: an AUC of 50.0 in {setting.lower_group} would be missed in"
        " more than 20 % of the studies"
    )


def _too_few(setting: PowerSetting, quantity: str) -> str:
    more = "; more seeds are needed" if setting.models.seed_sd else ""
    return f"{quantity}: a thousand million are too few{more}"


def _stated(request: PowerRequest) -> Row:
    """What each number is: definition, test, split and protocol."""
    setting = request.setting
    return {
        "definition": "gap_of_mean",
        "level": LEVEL,
        "power": POWER,
        "split": request.split,
        "protocol": "full",
        "patients": setting.cohort.patients,
        "seeds": setting.models.seeds,
        "lower_group": setting.lower_group,
        "repetitions": request.repetitions.count,
    }
