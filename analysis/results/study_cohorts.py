"""What a study has kept of the patients of its data sets: `cohorts.json` beside its record.

Counts alone: where images came from, what was left out and why, and who is in each split. Studies
of earlier versions have no such file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.results.study_record import STUDIES, Text
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.yaml_input import faults_of
from fairfm_core.errors import BadFile, BadInput
from fairfm_core.storage.markers import is_sealed, parse_object, sealed

COHORTS = "cohorts.json"
EDGES, DATA = "age_edges", "data"


class StoredStep(BaseModel):
    """A step of a data set's preparation, and what was left after it; see `FlowStep`."""

    model_config = ConfigDict(extra="ignore")

    reason: Text
    images_dropped: int
    patients_dropped: int | None
    images: int
    patients: int | None


class StoredTable(BaseModel):
    """A table as columns and rows."""

    columns: list[Text]
    rows: list[list[Text | float | None]]

    def frame(self) -> pd.DataFrame:
        """As a data frame, with whole numbers where there are no others."""
        return pd.DataFrame(self.rows, columns=self.columns).convert_dtypes()


class StoredCohort(BaseModel):
    """One data set of a study."""

    model_config = ConfigDict(extra="ignore")

    folder: Text
    kind: Text
    size: int
    resizing: Text
    origin: dict[Text, Any]
    digests: dict[Text, Text]
    counts: dict[Text, int]
    notes: dict[Text, int]
    flow: list[StoredStep]
    characteristics: StoredTable


class _StoredCohorts(BaseModel):
    model_config = ConfigDict(extra="ignore")

    age_edges: list[float]
    data: dict[Text, StoredCohort]


def holds_cohorts(
    store: ArtifactStore, study: str, digests: Sequence[str], age_edges: Sequence[float]
) -> bool:
    """Whether a study has kept these data sets with these bins of age."""
    if not store.holds(STUDIES, study, COHORTS):
        return False
    try:
        stored = _stored(store, study)
    except BadFile:
        return False
    return stored.data.keys() == set(digests) and stored.age_edges == list(age_edges)


def write_study_cohorts(
    store: ArtifactStore,
    study: str,
    records: Mapping[str, Mapping[str, Any]],
    age_edges: Sequence[float],
) -> None:
    """Write the records of a study's data sets by their digests, sealed."""
    content = {EDGES: list(age_edges), DATA: {d: dict(record) for d, record in records.items()}}
    store.write_json(sealed(content), STUDIES, study, COHORTS)


def read_study_cohorts(store: ArtifactStore, study: str) -> dict[str, StoredCohort]:
    """The data sets of a study by their digests; empty for a study of an earlier version.

    Raises BadFile for a file that is damaged.
    """
    return _stored(store, study).data if store.holds(STUDIES, study, COHORTS) else {}


def _stored(store: ArtifactStore, study: str) -> _StoredCohorts:
    place = store.place(STUDIES, study, COHORTS)
    again = "delete it: `fairfm sweep run` of the study writes it again and repeats no training"
    try:
        content = parse_object(store.read_bytes(STUDIES, study, COHORTS))
        if not is_sealed(content):
            raise BadInput("it differs from what was stored")
        return _StoredCohorts.model_validate(content)
    except ValidationError as error:
        reason = faults_of(_StoredCohorts, error)[0]
        raise BadFile(place, f"is damaged ({reason}); {again}") from error
    except ValueError as error:
        raise BadFile(place, f"is damaged ({error}); {again}") from error
