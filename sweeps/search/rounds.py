"""The searches of one study, round by round.

A round is a batch of configurations of each search, or further seeds of those that may be on the
front. The next one is asked for when all of the last have values: so what is asked for depends on
no timing, on no number of workers and on no interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.results.study_record import rung_text
from fairfm_core.evaluation.selection.objectives import Objective
from sweeps.search.asked import AskedConfiguration, Searched, starting_seeds
from sweeps.search.grammar import SearchSpec
from sweeps.search.halving import (
    Halving,
    Key,
    Rung,
    RungTold,
    Standing,
    promotions,
)
from sweeps.search.history import (
    Told,
    ended_line,
    failed_line,
    known_line,
    round_line,
    rung_line,
    told_line,
)
from sweeps.search.journal import HALVING, SearchJournal
from sweeps.search.racing import Race
from sweeps.search.sampling import Draw, next_draws

MORE_THAN_PARAMETERS = 3
"""Configurations at one rung, beyond the number of parameters, for a sampler to learn from it: as
many as BOHB asks for (Falkner et al. 2018)."""
ALL_TRIED = "every configuration of the space was tried"
ALL_ASKED = "all configurations were asked for"


RaceStep = Callable[[Searched], Race]
"""The next step of the race of one search whose configurations have all been asked for."""


@dataclass
class StudySearch:
    """What a study's searches ask for and learn; its journal is the state."""

    spec: SearchSpec
    searches: Sequence[Searched]
    objectives: Sequence[Objective]
    seeds: Sequence[int]
    """The study's own list."""
    journal: SearchJournal
    race: RaceStep | None = None
    """Decides on further seeds; None without replicates."""
    halving: Halving | None = None
    """Decides where training runs pause, and which go on; None without."""
    ended: dict[str, str] = field(default_factory=dict)
    """Why searches ask for nothing more, by cell, as this process has found."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The validation metrics of objectives and constraints."""
        named = [*(o.metric for o in self.objectives), *(c.metric for c in self.spec.constraints)]
        return tuple(dict.fromkeys(named))

    @property
    def asked(self) -> list[AskedConfiguration]:
        """Every configuration that was asked for, with all its seeds."""
        return list(self.journal.history.asked.values())

    def tell(self, key: Key, told: Told) -> None:
        """Note the values of a configuration; without a value of an objective it has failed."""
        self.journal.add(told_line(key, told))
        undefined = [metric for metric in self.metrics if told.values.get(metric) is None]
        if undefined:
            self.fail(key, f"{undefined[0]} is undefined")

    def tell_rung(self, key: Key, rung: Rung, told: RungTold) -> None:
        """Note the values of a configuration at a rung; without one of an objective it fails."""
        self.journal.add(rung_line(key, rung, told))
        undefined = [m for m in self.metrics if told.values and told.values.get(m) is None]
        if undefined:
            self.fail(key, f"{undefined[0]} is undefined {rung_text(self.spec.fidelity, rung)}")

    def fail(self, key: Key, reason: str) -> None:
        """Note that a configuration has no values."""
        if self.journal.history.failed.get(key) != reason:
            self.journal.add(failed_line(key, reason))

    def take_over(self, known: Sequence[AskedConfiguration]) -> None:
        """Begin with configurations of other searches whose training is this study's work too."""
        if known:
            self.journal.add(known_line(self.journal.history.rounds + 1, known))

    def next_round(self) -> list[AskedConfiguration]:
        """Ask for the next round; returns what it asks for, empty when the searches are over.

        A configuration that gets further seeds is returned with those alone, one that goes on from
        a rung without any. Nothing is written.
        """
        history = self.journal.history
        draws: dict[str, tuple[Searched, Sequence[Draw]]] = {}
        repeated: dict[Key, tuple[int, ...]] = {}
        chances: dict[Key, float] = {}
        promoted: dict[Key, Rung | None] = {}
        for searched in self.searches:
            drawn = self._draws(searched)
            going_on = self._promotions(searched, is_last=not drawn)
            promoted |= going_on
            if drawn:
                draws[searched.cell] = searched, drawn
            if drawn or going_on:
                continue
            race = self._raced(searched)
            repeated |= race.repeated
            chances |= {key: race.chances[key] for key in race.repeated}
            if race.ended is not None:
                self._end(searched.cell, race.ended)
        if not draws and not repeated and not promoted:
            return []
        counts = {cell: len(history.of(cell)) for cell in draws}
        seeds = starting_seeds(self.seeds, self.spec)
        until = self._starts(draws, counts)
        now = history.rounds + 1
        self.journal.add(round_line(now, draws, counts, seeds, repeated, chances, until, promoted))
        return [
            round_part(each, now)
            for each in self.asked
            if now in each.rounds or each.key in promoted
        ]

    def _starts(
        self, draws: Mapping[str, tuple[Searched, Sequence[Draw]]], counts: Mapping[str, int]
    ) -> dict[Key, Rung | None]:
        """The rungs to which new configurations train first."""
        if self.halving is None:
            return {}
        return {
            (cell, number): self.halving.start(cell, number, draw.choices)
            for cell, (_, drawn) in draws.items()
            for number, draw in enumerate(drawn, start=counts[cell] + 1)
        }

    def _promotions(self, searched: Searched, is_last: bool) -> dict[Key, Rung | None]:
        """The configurations of a search that go on from the rungs at which they stand."""
        if self.halving is None:
            return {}
        standings = self.standings(searched)
        eta, limits = self.halving.spec.eta, self.spec.constraints
        return promotions(standings, eta, self.objectives, limits, is_last)

    def standings(self, searched: Searched) -> list[Standing]:
        """Where each configuration of a search stands."""
        assert self.halving is not None
        history = self.journal.history
        return [
            Standing(
                each.key,
                self.halving.rungs_of(searched.cell, each.choices),
                history.until[each.key] if self._stands(each.key) else None,
                history.rungs.get(each.key, {}),
            )
            for each in history.of(searched.cell)
        ]

    def _stands(self, key: Key) -> bool:
        history = self.journal.history
        return history.is_paused(key) and key not in history.failed

    def _draws(self, searched: Searched) -> list[Draw]:
        history = self.journal.history
        count = sum(not each.known for each in history.of(searched.cell))
        wanted = min(self.spec.batch, searched.configurations - count)
        if wanted <= 0:
            return []
        enough = len(searched.space.parameters) + MORE_THAN_PARAMETERS
        rung = None if self.halving is None else history.rung_to_learn_from(searched, enough)
        tried = history.tried(searched, self.objectives, self.spec.constraints, rung)
        return next_draws(searched, self.spec, self.objectives, tried, wanted)

    def _raced(self, searched: Searched) -> Race:
        if self.race is None:
            count = sum(not each.known for each in self.journal.history.of(searched.cell))
            return Race({}, {}, ALL_TRIED if count < self.spec.configurations else ALL_ASKED)
        return self.race(searched)

    def _end(self, cell: str, reason: str) -> None:
        self.ended[cell] = reason
        if self.journal.history.ended.get(cell) != reason:
            self.journal.add(ended_line(cell, reason))


def round_part(asked: AskedConfiguration, number: int) -> AskedConfiguration:
    """A configuration with only those of its seeds that one round has asked for."""
    pairs = [
        (seed, when) for seed, when in zip(asked.seeds, asked.rounds, strict=True) if when == number
    ]
    return AskedConfiguration(
        asked.search,
        asked.cell,
        asked.number,
        asked.choices,
        tuple(seed for seed, _ in pairs),
        tuple(when for _, when in pairs),
        asked.given,
        asked.known,
    )


def search_identity(
    spec: SearchSpec,
    searches: Sequence[Searched],
    objectives: Sequence[Objective],
    seeds: Sequence[int],
) -> dict[str, Any]:
    """What a journal belongs to; more configurations and replicates may be asked for later."""
    halving = {} if spec.halving is None else {HALVING: spec.halving.model_dump(mode="json")}
    return {
        **halving,
        "sampler": spec.sampler,
        "over": spec.over,
        "batch": spec.batch,
        "warm_start": spec.warm_start,
        "seed": spec.seed,
        "cells": [searched.cell for searched in searches],
        "parameters": spec.parameters,
        "first": [dict(point) for point in spec.first],
        "objectives": [objective.model_dump(mode="json") for objective in objectives],
        "constraints": [each.model_dump(mode="json") for each in spec.constraints],
        "seeds": list(starting_seeds(seeds, spec)),
    }
