"""Whose images a data set holds: which patients of two data sets are the same people.

A patient is known by source and id: two prepared folders of one source (all of CheXpert, and the
cohort that models are tested on) hold the same people, and one id in two sources is two people
(every phantom world has a p000000). A described table has no source but itself, and can be of
anybody, CheXpert's patients too: where either of two data sets is a table, patients of one id are
taken for one person. Ids are compared as they are written, so a table that names the same people
otherwise (7 for patient00007) shares none with them, and this goes unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import BadInput

EVALUATION_SPLITS = ("val", "test")
ORIGIN_OF: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "phantom": lambda origin: str(origin["world"]["seed"]),
    "table": lambda origin: str(origin["table_sha256"]),
    "photographs": lambda origin: fingerprint(sorted(origin["photographs"].values())),
}
"""What tells apart the sources of a kind that names no public data set."""
ANYBODYS = frozenset({"table"})
"""Kinds whose patients may be those of any other data set."""


def by_source(datasets: Iterable[PreparedData]) -> dict[str, PreparedData]:
    """Data sets by the name of their source; raises BadInput where two have the same."""
    found: dict[str, PreparedData] = {}
    for data in datasets:
        source = source_of(data)
        if source in found:
            raise BadInput(
                f"{found[source].folder} and {data.folder} are of one source ({source}), so their"
                " patients are the same people: name one of the two folders"
            )
        found[source] = data
    return found


def source_of(data: PreparedData) -> str:
    """Whose patients these are: a public data set's, or those of this very table or phantom.

    At any size, split and label policy: one table prepared twice is one source.
    """
    kind, origin = data.manifest.kind, data.manifest.origin
    own = ORIGIN_OF[kind](origin) if kind in ORIGIN_OF else ""
    return f"{kind} {own}".strip()


def judged(
    data: PreparedData, patient: pd.Series, evaluation: Mapping[str, PreparedData]
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Whether each image's patient is judged on, and the other sources that share such ids."""
    theirs, shared = np.zeros(len(patient), dtype=np.bool_), []
    for other in evaluation.values():
        of_one_source = source_of(other) == source_of(data)
        if of_one_source or ANYBODYS & {data.manifest.kind, other.manifest.kind}:
            found = patient.isin(_judged_patients(other.frame)).to_numpy()
            theirs |= found
            if found.any() and not of_one_source:
                shared.append(called(other))
    return theirs, tuple(shared)


def called(data: PreparedData) -> str:
    """What its user knows a data set by: the name of its folder, and its kind."""
    return f"{data.folder.name} ({data.manifest.kind})"


def _judged_patients(frame: pd.DataFrame) -> set[str]:
    return set(frame.loc[frame["split"].isin(EVALUATION_SPLITS), "patient_id"])
