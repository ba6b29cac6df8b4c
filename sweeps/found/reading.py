"""A study's search as its results folder holds it: the study, the journal, its configurations.

Array suffixes: N configurations, K objectives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.results.results import open_results
from analysis.results.study_record import rung_text
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import front_ranks
from sweeps.planning.study import StudySpec, study_searches
from sweeps.search.asked import CELL, AskedConfiguration, Searched
from sweeps.search.halving import Key, Rung
from sweeps.search.history import Line, SearchHistory, Told
from sweeps.search.journal import JOURNAL, journal_loss, read_journal_lines


@dataclass(frozen=True, eq=False)
class SearchReading:
    """What the searches of one study have found."""

    store: ArtifactStore
    study: StudySpec
    lines: tuple[Line, ...]
    """The journal's lines, in order."""
    history: SearchHistory
    lost: str = ""
    """What the stored journal lacks, in words; empty if it is whole."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The study's objectives."""
        return self.study.objectives

    @property
    def metrics(self) -> list[str]:
        """Their validation metrics."""
        return [objective.metric for objective in self.objectives]

    @cached_property
    def searches(self) -> tuple[Searched, ...]:
        """The searches with their spaces."""
        return study_searches(self.study)

    def finished(self, search: str) -> list[AskedConfiguration]:
        """The configurations of a search that have all objectives and break no constraint."""
        return [each for each in self.history.of(search) if self.is_feasible(each.key)]

    def is_feasible(self, key: Key) -> bool:
        """Whether a configuration has every objective and breaks no constraint."""
        told = self.history.told.get(key)
        return told is not None and is_able(told, self.study)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each configuration: `search`, `cell`, `configuration`, the parameters,
        `seeds`, `round`, the validation objectives with `_sd` and `_apparent`, `rank` among those
        of its search (1 is its front) and `state`."""
        ranks = {key: rank for s in self.searches for key, rank in self._ranks(s).items()}
        return pd.DataFrame([self._row(each, ranks) for each in self.history.asked.values()])

    def _ranks(self, searched: Searched) -> dict[Key, int]:
        able = self.finished(searched.cell)
        if not able:
            return {}
        told = [self.history.told[each.key] for each in able]
        values = [[each.values[metric] for metric in self.metrics] for each in told]
        rank_N = front_ranks(np.array(values, dtype=np.float64), self.objectives) + 1
        return {each.key: int(rank) for each, rank in zip(able, rank_N, strict=True)}

    def values(self, told: Sequence[Told]) -> Floats:
        """The objectives [N, K] of configurations, to be minimised."""
        columns = []
        for objective in self.objectives:
            given = [each.values[objective.metric] for each in told]
            judged_N = objective.judged(np.array(given, dtype=np.float64))
            columns.append(-judged_N if objective.maximised else judged_N)
        return np.stack(columns, axis=1)

    def _row(self, asked: AskedConfiguration, ranks: Mapping[Key, int]) -> dict[str, object]:
        told = self.history.told.get(asked.key)
        first = self.history.apparent.get(asked.key)
        row: dict[str, object] = {
            "search": asked.search,
            "cell": asked.cell,
            "configuration": asked.label,
            **{name: choice for name, choice in asked.choices.items() if name != CELL},
            "seeds": 0 if told is None else len(told.seeds),
            "round": asked.rounds[0],
        }
        for metric in self.metrics:
            variance = None if told is None else told.variances.get(metric)
            row[metric] = None if told is None else told.values.get(metric)
            row[f"{metric}_sd"] = None if variance is None else variance**0.5
            row[f"{metric}_apparent"] = None if first is None else first.values.get(metric)
        return {**row, "rank": ranks.get(asked.key), "state": self._state(asked.key)}

    def _state(self, key: Key) -> str:
        if key in self.history.failed:
            return f"failed: {self.history.failed[key]}"
        if self.history.is_paused(key):
            over = key[0] in self.history.ended
            return f"{'stopped' if over else 'paused'} {self._place(self.history.until[key])}"
        if key not in self.history.told:
            return "to do"
        return "done" if self.is_feasible(key) else "beyond a constraint"

    def paused(self, search: str) -> dict[str, int]:
        """How many configurations of a search have paused or stopped at each rung, in words, the
        smallest rung first."""
        until, failed = self.history.until, self.history.failed
        keys = [key for each in self.history.of(search) if (key := each.key) not in failed]
        paused = [key for key in keys if self.history.is_paused(key)]
        return dict(Counter(self._state(key) for key in sorted(paused, key=until.__getitem__)))

    def _place(self, rung: Rung) -> str:
        assert self.study.search is not None
        return rung_text(self.study.search.fidelity, rung)


def is_able(told: Told, study: StudySpec) -> bool:
    """Whether values are complete and keep every constraint of the study's search."""
    if any(told.values.get(objective.metric) is None for objective in study.objectives):
        return False
    limits = () if study.search is None else study.search.constraints
    values = [(limit, told.values.get(limit.metric)) for limit in limits]
    return all(value is not None and limit.violation(value) <= 0 for limit, value in values)


def read_search(location: str, study: str | None = None) -> SearchReading:
    """The search of a study in a results folder; None means the only study there.

    Raises BadInput for a study without a search.
    """
    results = open_results(location, study)
    spec = StudySpec.model_validate(results.record["spec"])
    lines = tuple(read_journal_lines(results.store, spec.study))
    lost = journal_loss(results.store, spec.study)
    if spec.search is None or not lines:
        why = "has no search" if spec.search is None else "has asked for no configuration yet"
        raise BadInput(
            f"study {spec.study} in {location} {why} ({lost or JOURNAL}): its front is shown by "
            f"fairfm pareto {location} --study {spec.study}"
        )
    history = SearchHistory().add_all(lines)
    if spec.search.halving is None:
        history.train_all()
    return SearchReading(results.store, spec, lines, history, lost)
