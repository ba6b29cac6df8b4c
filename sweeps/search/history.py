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
from sweeps.search.halving import Key, Rung, RungTold
from sweeps.search.sampling import Draw, Tried

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
    until: dict[Key, Rung] = field(default_factory=dict)
    """The rung up to which a configuration trains; without, it is trained whole."""
    rungs: dict[Key, dict[Rung, RungTold]] = field(default_factory=dict)
    """The values of each configuration at the rungs that it has come to."""

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
            if not self.is_paused(key)
            and (key not in self.told or self.told[key].seeds != each.seeds)
        ]

    def is_paused(self, key: Key) -> bool:
        """Whether a configuration has paused at a rung, and has not gone on since."""
        return self.until.get(key) in self.rungs.get(key, {}) and key not in self.told

    def train_all(self) -> None:
        """Take back every pause: halving was turned off."""
        self.until.clear()
        self.rungs.clear()

    def tried(
        self,
        searched: Searched,
        objectives: Sequence[Objective],
        limits: Sequence[Constraint],
        rung: Rung | None = None,
    ) -> list[Tried]:
        """What the sampler of one search knows: values at a rung, None: of finished training runs.

        Values of several lengths of training are never mixed: a configuration that was not trained
        so far is passed over, as one that has failed is.
        """
        return [self._tried(each, objectives, limits, rung) for each in self.of(searched.cell)]

    def rung_to_learn_from(self, searched: Searched, enough: int) -> Rung | None:
        """The highest rung that `enough` configurations of a search have reached, None: the end.

        Where too few have reached any, the lowest.
        """
        keys = [each.key for each in self.of(searched.cell)]
        if sum(key in self.told for key in keys) >= enough:
            return None
        known = [rung for key in keys for rung in self.rungs.get(key, {})]
        reached = [rung for rung in known if known.count(rung) >= enough]
        return max(reached, default=min(known, default=None))

    def _tried(
        self,
        asked: AskedConfiguration,
        objectives: Sequence[Objective],
        limits: Sequence[Constraint],
        rung: Rung | None,
    ) -> Tried:
        notes, known = self.notes[asked.key], asked.known
        found = self._values(asked.key, rung)
        if found is None:
            passed_over = asked.key in self.failed or self.is_paused(asked.key) or rung is not None
            return Tried(asked.choices, failed=passed_over, known=known, attributes=notes)
        needed = [*(each.metric for each in objectives), *(each.metric for each in limits)]
        values = {m: v for m in needed if (v := found.get(m)) is not None}
        if len(values) < len(set(needed)):
            return Tried(asked.choices, failed=True, known=known, attributes=notes)
        judged = tuple(_judged(each, values[each.metric]) for each in objectives)
        beyond = tuple(each.violation(values[each.metric]) for each in limits)
        return Tried(asked.choices, judged, beyond, known=known, attributes=notes)

    def _values(self, key: Key, rung: Rung | None) -> Mapping[str, float | None] | None:
        told = self.told.get(key) if rung is None else self.rungs.get(key, {}).get(rung)
        return None if told is None else told.values


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
    until: Mapping[Key, Rung | None] | None = None,
    promoted: Mapping[Key, Rung | None] | None = None,
) -> Line:
    """The line of a round: new configurations, further seeds and further epochs of earlier ones.

    `counts` are how many each search had asked for before; `chances` the probabilities of being on
    the front for which seeds are added; `until` and `promoted` the rungs to which new and earlier
    configurations train, None for the whole training. One line, so that a round is written whole or
    not at all.
    """
    asked = [
        {
            "search": cell,
            "cell": searched.cell_of(draw.choices),
            "number": counts[cell] + place,
            "choices": draw.choices,
            **({"notes": draw.attributes} if draw.attributes else {}),
            **({"given": True} if draw.given else {}),
            **_until((until or {}).get((cell, counts[cell] + place))),
        }
        for cell, (searched, drawn) in draws.items()
        for place, draw in enumerate(drawn, start=1)
    ]
    more = [
        {"search": key[0], "number": key[1], "seeds": list(added), "p_front": (chances or {})[key]}
        for key, added in (repeated or {}).items()
    ]
    line = {"number": number, "seeds": list(seeds), "asked": asked, "repeated": more}
    on = [{"search": k[0], "number": k[1], **_until(u)} for k, u in (promoted or {}).items()]
    return {"round": {**line, "promoted": on} if on else line}


def _until(rung: Rung | None) -> dict[str, Rung]:
    return {} if rung is None else {"until": rung}


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


def rung_line(key: Key, rung: Rung, told: RungTold) -> Line:
    """The line of a configuration's values at a rung."""
    return {
        "rung": {
            "search": key[0],
            "number": key[1],
            "rung": rung,
            "values": None if told.values is None else dict(told.values),
            "trainings": list(told.training_runs),
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
        _set_until(history, asked.key, each)
    for each in content.get("promoted", ()):
        _set_until(history, (each["search"], each["number"]), each)
    for each in content["repeated"]:
        key = each["search"], each["number"]
        asked, added = history.asked[key], tuple(each["seeds"])
        rounds = (*asked.rounds, *(number,) * len(added))
        history.asked[key] = replace(asked, seeds=(*asked.seeds, *added), rounds=rounds)
        history.ended.pop(asked.search, None)
    for search in {each["search"] for each in content["asked"]}:
        history.ended.pop(search, None)


def _set_until(history: SearchHistory, key: Key, content: Mapping[str, Any]) -> None:
    history.until.pop(key, None)
    if "until" in content:
        history.until[key] = content["until"]


def _add_rung(history: SearchHistory, content: Mapping[str, Any]) -> None:
    key = content["search"], content["number"]
    values = None if content["values"] is None else dict(content["values"])
    told = RungTold(values, tuple(content["trainings"]))
    rung = content["epochs"] if "epochs" in content else content["rung"]  # by its earlier name
    history.rungs.setdefault(key, {})[rung] = told
    history.failed.pop(key, None)


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
    "rung": _add_rung,
    "failed": _add_failed,
    "ended": _add_ended,
}
"""How each kind of line is taken up; others, of the head, are checked when a journal is read."""
