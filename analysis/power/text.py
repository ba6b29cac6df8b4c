"""A power calculation as text: what is assumed, then each number by formula and simulation."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import pandas as pd

from analysis.power.findings import PATIENTS_DIFFERENCE, PATIENTS_GAP, PowerRequest
from analysis.wording import aligned, points, wrapped
from fairfm_core.evaluation.power.formula import null_gap
from fairfm_core.evaluation.power.setting import PowerSetting

COUNTED = (PATIENTS_GAP, PATIENTS_DIFFERENCE)


def power_text(request: PowerRequest, rows: pd.DataFrame) -> Iterator[str]:
    """The blocks of the text, in points (1 point = 0.01 AUC)."""
    yield _joined([_definition(request), _cohort(request.setting), _models(request.setting)])
    yield _groups(request.setting)
    head = ("", "formula", "simulation")
    yield aligned([head, *(_line(row) for row in rows.to_dict("records"))])
    reasons = list(dict.fromkeys(rows["reason"].dropna()))
    yield _joined([_null(request.setting), *_simulated(request), *reasons])


def _joined(sentences: list[str]) -> str:
    return "\n".join(line for sentence in sentences for line in wrapped(sentence))


def _definition(request: PowerRequest) -> str:
    return (
        f"Split {request.split}, protocol full, gap_of_mean (largest minus smallest of the groups'"
        " AUCs, means over pathologies), in points (1 point = 0.01); level 5 %, power 80 %."
    )


def _cohort(setting: PowerSetting) -> str:
    cohort = setting.cohort
    count, mean = len(cohort.pathologies), cohort.images_per_patient
    images = "1 image" if mean == 1 else f"{mean:.3g} images"
    what = "1 pathology" if count == 1 else f"{count} pathologies with independent errors"
    return f"{cohort.patients:,.0f} patients, {images} of each, {what}."


def _models(setting: PowerSetting) -> str:
    models = setting.models
    runs = f"{models.seeds} seed{'s' if models.seeds > 1 else ''}"
    spread = (
        f"which move a group's AUC by {points(models.seed_sd)} (standard deviation)"
        if models.seed_sd
        else "spread between training runs left out"
    )
    return (
        f"AUC {points(models.auc)} in every group but {setting.lower_group}, where it is lower;"
        f" {runs}, {spread}. Scores correlate by {models.patient_correlation:g} between images of a"
        f" patient and by {models.model_correlation:g} between two models."
    )


def _groups(setting: PowerSetting) -> str:
    cohort = setting.cohort
    head = ("group", "patients", "with a finding, fewest", "without, fewest")
    fewest_G2 = cohort.class_patients_PG2.min(axis=0)
    cells = zip(cohort.groups, cohort.members_G, fewest_G2, strict=True)
    lines = [
        (name, f"{members:,.0f}", f"{fewest[1]:,.0f}", f"{fewest[0]:,.0f}")
        for name, members, fewest in cells
    ]
    return aligned([head, *lines])


def _line(row: dict[Hashable, Any]) -> tuple[str, str, str]:
    counted = row["quantity"] in COUNTED
    shown = patients_shown if counted else points_shown
    wanted = f" of {points_shown(row['wanted'])}" if counted else ""
    return f"{row['quantity']}{wanted}", shown(row["formula"]), shown(row["simulation"])


def points_shown(value: float | None) -> str:
    """A number in points, a dash where there is none."""
    return "–" if value is None or pd.isna(value) else points(value)


def patients_shown(value: float | None) -> str:
    """A number of patients, a dash where there is none."""
    return "–" if value is None or pd.isna(value) else f"{value:,.0f}"


def _null(setting: PowerSetting) -> str:
    null = null_gap(setting)
    return (
        f"Fair models show gaps of {points(null.mean)} on average here, and of more than"
        f" {points(null.hi)} in 5 % of test sets (formula)."
    )


def _simulated(request: PowerRequest) -> list[str]:
    count = request.repetitions.count
    if not count:
        return []
    error = 100 * 1.1 / count**0.5
    return [
        f"Simulation: {count:,} test sets for each number; its gaps have a standard error of about"
        f" {error:.0f} %, its patients of {2 * error:.0f} %."
    ]
