"""Which patients of two data sets are the same people.

A patient is identified by source and id. Two prepared folders of one source (all of CheXpert, and
the cohort that models are tested on) hold the same people, and the same id in two sources is two
people (every phantom world has a p000000), unless one kind has the patients of the other, as
CheXpert Plus has those of CheXpert. A described table has no source but itself and may hold
any patients, including CheXpert's: where either of two data sets is a table, equal ids are taken
for the same person. Ids are compared as they are written, so a table that writes them differently
(7 for patient00007) appears to share no patient: copies of the same images reveal it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.duplicates.pictures import ALONE, picture_groups
from fairfm_core.data.preparation.kinds import KINDS
from fairfm_core.errors import BadInput


def by_source(datasets: Iterable[PreparedData]) -> dict[str, PreparedData]:
    """Data sets by the name of their source; BadInput if two have the same source."""
    named: dict[str, PreparedData] = {}
    for data in datasets:
        source = source_of(data)
        if source in named:
            raise BadInput(
                f"{named[source].place} and {data.place} have the same source ({source}), so"
                " their patients are the same people: give only one of these folders"
            )
        named[source] = data
    return named


def source_of(data: PreparedData) -> str:
    """The source of a data set: the public data set, or this particular table or phantom world.

    It does not depend on size, split or label policy: one table prepared twice is one source.
    """
    name, kind = data.manifest.kind, KINDS.get(data.manifest.kind)
    distinct = "" if kind is None else kind.distinct(data.manifest.origin)
    return f"{name} {distinct}".strip()


def evaluation_patients(
    data: PreparedData, patient: pd.Series, evaluation: Mapping[str, PreparedData]
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Whether each image's patient is in an evaluation split, and which other sources share ids.

    Args:
        data: a data set of the corpus.
        patient: the patient of each of N of its images.
        evaluation: the data sets that models are evaluated on.

    Returns:
        A mask [N], and the names of data sets of another source with patients of the same ids.
    """
    theirs, shared = np.zeros(len(patient), dtype=np.bool_), []
    for other in evaluation.values():
        of_one_source = source_of(other) == source_of(data) or _same_people(data, other)
        if of_one_source or _any_patients(data) or _any_patients(other):
            same_N = patient.isin(_evaluated(other.frame)).to_numpy()
            theirs |= same_N
            if same_N.any() and not of_one_source:
                shared.append(display_name(other))
    return theirs, tuple(shared)


def copied_patients(
    data: PreparedData, frame: pd.DataFrame, evaluation: Mapping[str, PreparedData]
) -> NDArray[np.bool_]:
    """Whether each image's patient has an image that is a copy of a validation or test image, [N].

    Args:
        data: a data set of the corpus.
        frame: N of its images.
        evaluation: the data sets that models are evaluated on.
    """
    judged = [
        (other, _rows(other.frame[_is_evaluated(other.frame)])) for other in evaluation.values()
    ]
    if not judged or frame.empty:
        return np.zeros(len(frame), dtype=np.bool_)
    group_M = picture_groups([(data, _rows(frame)), *judged])
    group_N, their_groups = group_M[: len(frame)], group_M[len(frame) :]
    copied_N = (group_N != ALONE) & np.isin(group_N, their_groups)
    return frame["patient_id"].isin(frame.loc[copied_N, "patient_id"]).to_numpy()


def _rows(frame: pd.DataFrame) -> NDArray[np.int64]:
    return frame["row"].to_numpy(dtype=np.int64)


def _is_evaluated(frame: pd.DataFrame) -> pd.Series:
    return frame["split"].isin(EVALUATION_SPLITS)


def display_name(data: PreparedData) -> str:
    """A data set's name for the user: that of its folder, and its kind."""
    return f"{data.folder.name} ({data.manifest.kind})"


def _same_people(data: PreparedData, other: PreparedData) -> bool:
    """Whether one data set has the patients of the other under the same ids."""
    kinds = {name: KINDS.get(name) for name in (data.manifest.kind, other.manifest.kind)}
    of = {name: (kind and kind.patients_of) or name for name, kind in kinds.items()}
    return len(kinds) == 2 and len(set(of.values())) == 1


def _any_patients(data: PreparedData) -> bool:
    """Whether a data set may hold the patients of any other."""
    kind = KINDS.get(data.manifest.kind)
    return kind is not None and kind.any_patients


def _evaluated(frame: pd.DataFrame) -> set[str]:
    return set(frame.loc[_is_evaluated(frame), "patient_id"])
