"""The flow of images and patients from the source's table to the numbers of each group.

What a preparation left out, and why; the splits; and, where models are judged, the images that
belong to no group and the groups that are too small for a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.cohort.study_cohort import StudyCohort
from analysis.results.results import StudyResults
from analysis.wording import counted, listed
from fairfm_core.data.population.characteristics import IMAGES, PATIENTS
from fairfm_core.errors import first_ten
from fairfm_core.evaluation.tables import Evaluation, no_p_value

SOURCE, DROPPED, PREPARED, SPLIT, UNGROUPED, TOO_SMALL, NO_P_VALUE = (
    "source",
    "left out",
    "prepared",
    "split",
    "in no group",
    "no number",
    "no p-value",
)
"""Kinds of rows."""
JUDGED = "test"
NOT_SPLIT = "without a split"
SPLIT_TITLES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class CohortFlowRow:
    """One box of the flow."""

    kind: str
    what: str
    """The reason, the split or the group."""
    images: int | None
    patients: int | None
    """None where it is not known, or where the row is not of patients."""
    note: str = ""

    @property
    def counts(self) -> str:
        """`1,075 images, 743 patients`; empty without either."""
        parts = []
        if self.images is not None:
            parts.append(f"{self.images:,} {'image' if self.images == 1 else 'images'}")
        if self.patients is not None:
            parts.append(f"{self.patients:,} {'patient' if self.patients == 1 else 'patients'}")
        return ", ".join(parts)


@dataclass(frozen=True)
class CohortFlow:
    """The flow of one data set."""

    data: str
    rows: tuple[CohortFlowRow, ...]

    def of_kind(self, *kinds: str) -> tuple[CohortFlowRow, ...]:
        """The rows of these kinds, in order."""
        return tuple(row for row in self.rows if row.kind in kinds)


def cohort_flow(cohort: StudyCohort, results: StudyResults) -> CohortFlow:
    """The flow of one data set of a study, down to the groups that its models are judged on."""
    rows = [*_prepared(cohort), *_splits(cohort)]
    if JUDGED in cohort.splits:
        rows += _ungrouped(cohort, results.settings.attributes)
        done = [t for t in results.trials if t.done and t.digest == cohort.digest]
        if done:
            evaluation = results.evaluation("evaluate", done[0].evaluate)
            rows += [*_too_small(evaluation), *_no_p_value(evaluation)]
    return CohortFlow(cohort.folder, tuple(rows))


def _prepared(cohort: StudyCohort) -> Iterator[CohortFlowRow]:
    if cohort.stored is None:
        return
    first, *steps = cohort.stored.flow
    yield CohortFlowRow(SOURCE, "rows of the source", first.images, first.patients)
    for step in steps:
        yield CohortFlowRow(DROPPED, step.reason, step.images_dropped, step.patients_dropped)
    counts = cohort.stored.counts
    yield CohortFlowRow(PREPARED, "prepared", counts["images"], counts.get("patients"))


def _splits(cohort: StudyCohort) -> Iterator[CohortFlowRow]:
    for split in cohort.splits:
        images, patients = cohort.count(split, IMAGES), cohort.count(split, PATIENTS)
        yield CohortFlowRow(SPLIT, SPLIT_TITLES[split], images, patients)
    outside = 0 if cohort.stored is None else cohort.stored.counts.get("images without a split", 0)
    if outside:
        yield CohortFlowRow(SPLIT, NOT_SPLIT, outside, None, "never used")


def _ungrouped(cohort: StudyCohort, attributes: Sequence[str]) -> Iterator[CohortFlowRow]:
    """Test images that count for everybody and for no group of an attribute."""
    for attribute in attributes:
        if count := cohort.unknown(JUDGED, attribute):
            note = "count in the numbers of everybody, in none of a group"
            yield CohortFlowRow(UNGROUPED, f"{attribute} unknown", count, None, note)


def _too_small(evaluation: Evaluation) -> Iterator[CohortFlowRow]:
    """Groups without an AUC in some pathologies, so that they are missing from means and gaps."""
    rows = evaluation.rows("metrics", JUDGED, metric=["auc"])
    cells = [row for row in rows if row["pathology"] != "mean" and row["group"] is not None]
    groups = dict.fromkeys((row["attribute"], row["group"]) for row in cells)
    for attribute, group in groups:
        own = [row for row in cells if (row["attribute"], row["group"]) == (attribute, group)]
        undefined = [row for row in own if row["value"] is None]
        if undefined:
            who = "everybody" if attribute == "overall" else f"{attribute} {group}"
            largest = max(own, key=lambda row: row["n"])
            names = first_ten([row["pathology"] for row in undefined])
            why = listed(list(dict.fromkeys(str(row["reason"]) for row in undefined))[:2])
            note = f"no AUC in {len(undefined)} of {counted(len(own), 'label')} ({names}): {why}"
            yield CohortFlowRow(TOO_SMALL, who, largest["n"], largest["n_patients"], note)


def _no_p_value(evaluation: Evaluation) -> Iterator[CohortFlowRow]:
    """Attributes whose gap of the AUC has no p-value, and why."""
    for row in evaluation.rows("gaps", JUDGED, metric=["auc"], definition=["gap_of_mean"]):
        why = no_p_value(row["reason"]) if row["value"] is not None else None
        if why:
            yield CohortFlowRow(NO_P_VALUE, f"{row['attribute']} gap", None, None, why)
