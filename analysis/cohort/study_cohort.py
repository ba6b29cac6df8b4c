"""Who is in a study's data sets: from what the study has kept, or else from its predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from analysis.results.results import StudyResults
from analysis.results.study_cohorts import StoredCohort, read_study_cohorts
from fairfm_core.data.population.characteristics import characteristics

PHANTOM = "phantom"
FROM_PREDICTIONS = (
    "The study was run before fairfm kept who is in its data, so this is counted from its"
    " predictions: the training split, what was left out, and labels before the policy for"
    " uncertain ones are not known; run the study again with `fairfm sweep run`, which repeats no"
    " training."
)


@dataclass(frozen=True, eq=False)
class StudyCohort:
    """One data set of a study."""

    digest: str
    folder: str
    kind: str | None
    """What it was prepared from; None where that was not recorded."""
    table: pd.DataFrame
    """As `characteristics`: one row for each split, group, variable and level."""
    stored: StoredCohort | None = None
    """What the study has kept; None for a study of an earlier version."""
    policies: tuple[str, ...] = field(default=())
    """How its trials read uncertain labels."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that are known."""
        return tuple(dict.fromkeys(self.table["split"]))

    def count(self, split: str, unit: str) -> int:
        """Patients or images of a split."""
        own = self.table[(self.table["split"] == split) & (self.table["variable"] == unit)]
        return int(own[own["attribute"] == "overall"]["count"].iloc[0])

    def unknown(self, split: str, attribute: str) -> int:
        """Images of a split that belong to no group of an attribute."""
        rows = self.table[
            (self.table["split"] == split)
            & (self.table["attribute"] == attribute)
            & (self.table["group"] == "unknown")
            & (self.table["variable"] == "images")
        ]
        return int(rows["count"].sum())


def study_cohorts(results: StudyResults) -> tuple[StudyCohort, ...]:
    """The data sets of a study, in the order of its record, of which anything is known."""
    kept = read_study_cohorts(results.store, results.study)
    found = (_cohort(results, digest, kept.get(digest)) for digest in _digests(results, kept))
    return tuple(each for each in found if each is not None)


def _digests(results: StudyResults, kept: Mapping[str, StoredCohort]) -> Iterable[str]:
    """Of the data sets that trials adapt to."""
    used = {trial.digest for trial in results.trials}
    return [digest for digest in dict.fromkeys([*results.stored.data, *kept]) if digest in used]


def _cohort(results: StudyResults, digest: str, stored: StoredCohort | None) -> StudyCohort | None:
    trials = [trial for trial in results.trials if trial.digest == digest]
    policies = tuple(sorted({trial.labels for trial in trials}))
    if stored is not None:
        table = stored.characteristics.frame()
        return StudyCohort(digest, stored.folder, stored.kind, table, stored, policies)
    recorded = results.stored.data.get(digest)
    done = [trial for trial in trials if trial.done]
    if not done or recorded is None:
        return None
    frame = results.predictions(done[0]).frame
    known = frame[[name for name in frame.columns if not str(name).startswith("p_")]]
    table = characteristics(known, results.settings.age_edges)
    return StudyCohort(digest, recorded.folder, recorded.kind, table, None, policies)
