"""What a search has asked for and learnt, as the lines of its journal say.

The journal is the state: whoever reads the same lines asks for the same configurations next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fairfm_core.evaluation.selection.constraints import Constraint
from fairfm_core.evaluation.selection.objectives import Objective
from sweeps.search.asked import AskedConfiguration, Searched
from sweeps.search.sampling import Draw, Tried

Key = tuple[str, int]
"""Search and number of a configuration."""
Line = Mapping[str, Any]
"""One line of the journal."""


@dataclass(frozen=True)
class Told:
    """The validation values of a configuration: means over its seeds."""

    seeds: tuple[int, ...]
    values: Mapping[str, float | None]
    """Of each objective and constraint, by metric; None for an undefined one."""
    variances: Mapping[str, float | None]
    """Of each objective's mean, from draws of patients and, with two seeds or more, their spread;
    None where it is not known."""
    evaluations: tuple[str, ...]
    """Fingerprints of the evaluations it was read from, in the order of the seeds."""


@dataclass
class SearchHistory:
    """The searches of one study so far."""

    rounds: int = 0
    """How many rounds have been asked for."""
    asked: dict[Key, AskedConfiguration] = field(default_factory=dict)
    notes: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    """What the sampler noted when it asked for each."""
    told: dict[Key, Told] = field(default_factory=dict)
    """The newest values of each configuration."""
    apparent: dict[Key, Told] = field(default_factory=dict)
    """The first values of each, at the seeds it was first trained at."""
    failed: dict[Key, str] = field(default_factory=dict)
    """Why each configuration without values has none."""
    ended: dict[str, str] = field(default_factory=dict)
    """Why a search asks for nothing more, by its cell."""

    def add(self, line: Line) -> None:
        """Take up one line of the journal."""
        for kind, content in line.items():
            if kind in _ADDERS:
                _ADDERS[kind](self, content)

    def add_all(self, lines: Iterable[Line]) -> SearchHistory:
        """Take up lines in order; returns itself."""
        for line in lines:
            self.add(line)
        return self

    def of(self, search: str) -> list[AskedConfiguration]:
        """What one search has asked for, in order."""
        return [each for each in self.asked.values() if each.search == search]

    def open(self) -> list[AskedConfiguration]:
        """Configurations without values of all their seeds, also those that failed."""
        return [
            each
            for key, each in self.asked.items()
            if key not in self.told or self.told[key].seeds != each.seeds
        ]

    def tried(
        self, searched: Searched, objectives: Sequence[Objective], limits: Sequence[Constraint]
    ) -> list[Tried]:
        """What the sampler of one search knows."""
        return [self._tried(each, objectives, limits) for each in self.of(searched.cell)]

    def _tried(
        self,
        asked: AskedConfiguration,
        objectives: Sequence[Objective],
        limits: Sequence[Constraint],
    ) -> Tried:
        notes, told, known = self.notes[asked.key], self.told.get(asked.key), asked.known
        if told is None:
            failed = asked.key in self.failed
            return Tried(asked.choices, failed=failed, known=known, attributes=notes)
        needed = [*(each.metric for each in objectives), *(each.metric for each in limits)]
        values = {m: v for m in needed if (v := told.values.get(m)) is not None}
        if len(values) < len(set(needed)):
            return Tried(asked.choices, failed=True, known=known, attributes=notes)
        judged = tuple(_judged(each, values[each.metric]) for each in objectives)
        beyond = tuple(each.violation(values[each.metric]) for each in limits)
        return Tried(asked.choices, judged, beyond, known=known, attributes=notes)


def _judged(objective: Objective, value: float) -> float:
    return abs(value - objective.number.ideal) if objective.goal == "ideal" else value


# Lines


def round_line(
    number: int,
    draws: Mapping[str, tuple[Searched, Sequence[Draw]]],
    counts: Mapping[str, int],
    seeds: Sequence[int],
    repeated: Mapping[Key, tuple[int, ...]] | None = None,
    chances: Mapping[Key, float] | None = None,
) -> Line:
    """The line of a round: new configurations, and further seeds of earlier ones.

    `counts` are how many each search had asked for before; `chances` the probabilities of being on
    the front for which seeds are added. One line, so that a round is written whole or not at all.
    """
    asked = [
        {
            "search": cell,
            "cell": searched.cell_of(draw.choices),
            "number": counts[cell] + place,
            "choices": draw.choices,
            **({"notes": draw.attributes} if draw.attributes else {}),
            **({"given": True} if draw.given else {}),
        }
        for cell, (searched, drawn) in draws.items()
        for place, draw in enumerate(drawn, start=1)
    ]
    more = [
        {"search": key[0], "number": key[1], "seeds": list(added), "p_front": (chances or {})[key]}
        for key, added in (repeated or {}).items()
    ]
    return {"round": {"number": number, "seeds": list(seeds), "asked": asked, "repeated": more}}


def known_line(number: int, known: Sequence[AskedConfiguration]) -> Line:
    """The line of a round of configurations that are taken over from other searches."""
    asked = [
        {
            "search": each.search,
            "cell": each.cell,
            "number": each.number,
            "choices": dict(each.choices),
            "known": True,
        }
        for each in known
    ]
    seeds = list(known[0].seeds)
    return {"round": {"number": number, "seeds": seeds, "asked": asked, "repeated": []}}


def told_line(key: Key, told: Told) -> Line:
    """The line of a configuration's values."""
    return {
        "told": {
            "search": key[0],
            "number": key[1],
            "seeds": list(told.seeds),
            "values": dict(told.values),
            "variances": dict(told.variances),
            "evaluations": list(told.evaluations),
        }
    }


def failed_line(key: Key, reason: str) -> Line:
    """The line of a configuration that could not be trained or has an undefined objective."""
    return {"failed": {"search": key[0], "number": key[1], "reason": reason}}


def ended_line(search: str, reason: str) -> Line:
    """The line of a search that asks for nothing more."""
    return {"ended": {"search": search, "reason": reason}}


def _add_round(history: SearchHistory, content: Mapping[str, Any]) -> None:
    history.rounds = number = content["number"]
    seeds = tuple(content["seeds"])
    for each in content["asked"]:
        asked = AskedConfiguration(
            each["search"],
            each["cell"],
            each["number"],
            dict(each["choices"]),
            seeds,
            (number,) * len(seeds),
            bool(each.get("given")),
            bool(each.get("known")),
        )
        history.asked[asked.key] = asked
        history.notes[asked.key] = dict(each.get("notes", {}))
    for each in content["repeated"]:
        key = each["search"], each["number"]
        asked, added = history.asked[key], tuple(each["seeds"])
        rounds = (*asked.rounds, *(number,) * len(added))
        history.asked[key] = replace(asked, seeds=(*asked.seeds, *added), rounds=rounds)
        history.ended.pop(asked.search, None)
    for search in {each["search"] for each in content["asked"]}:
        history.ended.pop(search, None)


def _add_told(history: SearchHistory, content: Mapping[str, Any]) -> None:
    key = content["search"], content["number"]
    told = Told(
        tuple(content["seeds"]),
        dict(content["values"]),
        dict(content["variances"]),
        tuple(content["evaluations"]),
    )
    history.told[key] = told
    history.apparent.setdefault(key, told)
    history.failed.pop(key, None)


def _add_failed(history: SearchHistory, content: Mapping[str, Any]) -> None:
    history.failed[(content["search"], content["number"])] = content["reason"]


def _add_ended(history: SearchHistory, content: Mapping[str, Any]) -> None:
    history.ended[content["search"]] = content["reason"]


_ADDERS = {
    "round": _add_round,
    "told": _add_told,
    "failed": _add_failed,
    "ended": _add_ended,
}
"""How each kind of line is taken up; others, of the head, are checked when a journal is read."""
