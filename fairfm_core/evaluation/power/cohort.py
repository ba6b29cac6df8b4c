"""The cohort of a study that is planned: how many patients of each group and class are tested.

It comes from numbers, or from the cohort of a prepared folder. Array suffixes: P pathologies,
G groups, 2 the classes, negatives first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fairfm_core.data.cohort import attributes, pathologies, read_cohort, settled
from fairfm_core.data.groups import grouping
from fairfm_core.data.manifest import COHORT, read_manifest
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.fair_draws import FEWEST_PATIENTS, WITH

MOST_IMAGES = 1000
"""Images of a patient, on average, beyond which a typing error is likelier."""


@dataclass(frozen=True, eq=False)
class PlannedCohort:
    """The patients of a test split whose images are labelled."""

    groups: tuple[str, ...]
    pathologies: tuple[str, ...]
    patients: float
    """All of them, also those without a group."""
    class_patients_PG2: Floats
    """Patients with images of each class; one with images of both counts in both."""
    images_per_patient: float
    """Images of a patient in a class, on average."""
    members_G: Floats
    """Patients of each group."""

    def scaled(self, factor: float) -> PlannedCohort:
        """The same shares of groups and findings among `factor` times as many patients."""
        return replace(
            self,
            patients=self.patients * factor,
            class_patients_PG2=self.class_patients_PG2 * factor,
            members_G=self.members_G * factor,
        )

    @property
    def smallest(self) -> int:
        """The group with the fewest patients, the first of equals."""
        return int(self.members_G.argmin())

    @property
    def fewest(self) -> float:
        """Patients of the smallest class of a group."""
        return float(self.class_patients_PG2.min())

    def check_tested(self) -> None:
        """Raises BadInput where an evaluation would give no p-value for too few patients."""
        p, g, c = np.unravel_index(
            int(self.class_patients_PG2.argmin()), self.class_patients_PG2.shape
        )
        if self.fewest < FEWEST_PATIENTS:
            raise BadInput(
                f"{self.fewest:.0f} patients {WITH[c]} {self.pathologies[p]} in {self.groups[g]}: a"
                f" gap has no p-value below {FEWEST_PATIENTS} patients of a class in a group; plan"
                f" {_times(FEWEST_PATIENTS / max(self.fewest, 0.5))} as many patients, or leave the"
                " group or the pathology out"
            )


def cohort_of_numbers(
    patients: int,
    shares: Mapping[str, float],
    prevalences: Sequence[float],
    images_per_patient: float,
    count: int,
) -> PlannedCohort:
    """A cohort of `patients` in groups with these shares, and `count` pathologies.

    `prevalences` holds one share of patients with a finding for all groups, or one for each. Raises
    BadInput for fewer than two groups, shares that do not sum to 1, a prevalence outside 0..1.
    """
    _check_shares(shares, prevalences)
    if not 1 <= images_per_patient <= MOST_IMAGES:
        raise BadInput(
            f"images-per-patient: must lie between 1 and {MOST_IMAGES}, not {images_per_patient:g}"
        )
    members_G = patients * np.array(list(shares.values()))
    with_G = members_G * np.broadcast_to(np.array(prevalences), members_G.shape)
    cells_G2 = np.stack([members_G - with_G, with_G], axis=-1)
    names = tuple(f"pathology {number + 1}" for number in range(count))
    return PlannedCohort(
        *(tuple(shares), names, float(patients), np.repeat(cells_G2[None], count, axis=0)),
        *(images_per_patient, members_G),
    )


def _check_shares(shares: Mapping[str, float], prevalences: Sequence[float]) -> None:
    if len(shares) < 2:
        raise BadInput(f"groups: a gap needs two groups or more, not {len(shares)}")
    if not all(share > 0 for share in shares.values()):
        raise BadInput("groups: every share must be above 0")
    if abs((total := sum(shares.values())) - 1) > 0.005:
        raise BadInput(f"groups: the shares sum to {total:.3g}; they must sum to 1")
    if len(prevalences) not in (1, len(shares)):
        raise BadInput(
            f"prevalence: {len(prevalences)} values for {len(shares)} groups; give one for all, or"
            " one for each group in the order of --groups"
        )
    for value in prevalences:
        if not 0 < value < 1:
            raise BadInput(f"prevalence: must lie between 0 and 1, not {value:g}")


def cohort_of_folder(
    folder: str | Path, attribute: str, split: str, chosen: Sequence[str]
) -> PlannedCohort:
    """The cohort of one split of a prepared folder, by the groups of an attribute.

    `chosen` names the pathologies; empty for all. Uncertain labels count as negative. Raises
    BadInput where the folder, the attribute, the split or a pathology is not there.
    """
    read_manifest(Path(folder))
    frame = settled(read_cohort(Path(folder) / COHORT), {})
    known = attributes(frame)
    if attribute not in known:
        raise _unknown("attribute", attribute, known)
    part = frame[frame["split"] == split]
    if part.empty:
        raise BadInput(f"{folder} has no images of split {split!r}; name another with --split")
    names = _chosen(pathologies(frame), chosen)
    return cohort_of_frame(part, attribute, names)


AGE_EDGES = (40.0, 60.0, 80.0)
"""Years at which an evaluation cuts ages unless a study says otherwise."""


def cohort_of_frame(frame: pd.DataFrame, attribute: str, names: tuple[str, ...]) -> PlannedCohort:
    """The counts of one split; raises BadInput where the attribute has fewer than two groups."""
    groups = grouping(frame, attribute, AGE_EDGES)
    if len(groups.names) < 2:
        raise BadInput(f"{attribute} has {len(groups.names)} group in this split; a gap needs two")
    shape = (len(names), len(groups.names), 2)
    patients_PG2, images_PG2 = np.zeros(shape), np.zeros(shape)
    for p, g, c in np.ndindex(shape):
        of_class = (frame[f"y_{names[p]}"] == c).to_numpy() & (groups.code_N == g)
        images_PG2[p, g, c] = of_class.sum()
        patients_PG2[p, g, c] = frame["patient_id"][of_class].nunique()
    members = [frame["patient_id"][groups.code_N == g].nunique() for g in range(shape[1])]
    return PlannedCohort(
        *(groups.names, names, float(frame["patient_id"].nunique()), patients_PG2),
        float(images_PG2.sum() / max(1.0, patients_PG2.sum())),
        np.array(members, dtype=np.float64),
    )


def _chosen(known: tuple[str, ...], chosen: Sequence[str]) -> tuple[str, ...]:
    for name in chosen:
        if name not in known:
            raise _unknown("pathology", name, known)
    return tuple(dict.fromkeys(chosen)) or known


def _unknown(what: str, name: str, known: Sequence[str]) -> BadInput:
    return BadInput(
        f"unknown {what} {name!r}{did_you_mean(name, known)}; the data have: {first_ten(known)}"
    )


def _times(factor: float) -> str:
    return f"{np.ceil(factor * 10) / 10:g} times"
