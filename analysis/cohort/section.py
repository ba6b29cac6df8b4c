"""What a report says of the patients of a study: their flow, and Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.cohort.flow import JUDGED, CohortFlow, cohort_flow
from analysis.cohort.study_cohort import StudyCohort
from analysis.cohort.table_one import (
    CharacteristicsTable,
    table_by_split,
    table_notes,
    tables_by_group,
)
from analysis.results.results import StudyResults


@dataclass(frozen=True)
class PatientsOfData:
    """The patients of one data set."""

    flow: CohortFlow
    tables: tuple[CharacteristicsTable, ...]
    notes: tuple[str, ...]


def patients_section(
    results: StudyResults, cohorts: Sequence[StudyCohort]
) -> tuple[PatientsOfData, ...]:
    """The patients of each data set of a study; by group where models are judged."""
    return tuple(_of_data(cohort, results) for cohort in cohorts)


def _of_data(cohort: StudyCohort, results: StudyResults) -> PatientsOfData:
    groups: tuple[CharacteristicsTable, ...] = ()
    if JUDGED in cohort.splits:
        groups = tables_by_group(cohort, JUDGED, results.settings.attributes)
    return PatientsOfData(
        cohort_flow(cohort, results),
        (table_by_split(cohort), *groups),
        table_notes(cohort),
    )
