"""Which patients of two data sets are the same people.

A patient is identified by source and id. Two prepared folders of one source (all of CheXpert, and
the cohort that models are tested on) hold the same people, and the same id in two sources is two
people (every phantom world has a p000000). A described table has no source but itself and may hold
any patients, including CheXpert's: where either of two data sets is a table, equal ids are taken
for the same person. Ids are compared as they are written, so a table that writes them differently
(7 for patient00007) appears to share no patient; this cannot be detected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.preparation.kinds import KINDS
from fairfm_core.errors import BadInput


def by_source(datasets: Iterable[PreparedData]) -> dict[str, PreparedData]:
    """Data sets by the name of their source; BadInput if two have the same source."""
    named: dict[str, PreparedData] = {}
    for data in datasets:
        source = source_of(data)
        if source in named:
            raise BadInput(
                f"{named[source].folder} and {data.folder} have the same source ({source}), so"
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
        of_one_source = source_of(other) == source_of(data)
        if of_one_source or _any_patients(data) or _any_patients(other):
            same_N = patient.isin(_evaluated(other.frame)).to_numpy()
            theirs |= same_N
            if same_N.any() and not of_one_source:
                shared.append(display_name(other))
    return theirs, tuple(shared)


def display_name(data: PreparedData) -> str:
    """A data set's name for the user: that of its folder, and its kind."""
    return f"{data.folder.name} ({data.manifest.kind})"


def _any_patients(data: PreparedData) -> bool:
    """Whether a data set may hold the patients of any other."""
    kind = KINDS.get(data.manifest.kind)
    return kind is not None and kind.any_patients


def _evaluated(frame: pd.DataFrame) -> set[str]:
    return set(frame.loc[frame["split"].isin(EVALUATION_SPLITS), "patient_id"])
