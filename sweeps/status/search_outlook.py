"""What a search may still ask for: its space, configurations as it might draw them, the cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from analysis.wording import counted
from fairfm_core.seeding import stream
from sweeps.planning.expansion import expand
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import StudySpec
from sweeps.rungs.study_rungs import StudyRungs
from sweeps.search.asked import CELL, AskedConfiguration, Searched, starting_seeds
from sweeps.search.domains import Choice
from sweeps.search.grammar import SAMPLERS, SearchSpec
from sweeps.search.halving import FIDELITIES, Fidelity, FidelityName, Rung, expected_cost
from sweeps.search.racing import most_further
from sweeps.search.rounds import StudySearch
from sweeps.search.space import label_text
from sweeps.status.image_passes import image_passes

SAMPLE = 10
"""Configurations that are shown."""


@dataclass(frozen=True)
class HalvingOutlook:
    """What a study's fine-tunings cost with halving, at their first seeds."""

    eta: int
    fidelity: FidelityName
    rungs: Mapping[str, tuple[Rung, ...]]
    """By search: the rungs, then the whole training."""
    expected: float
    """Whole training runs that cost as much as all fine-tunings are expected to."""
    whole: int
    """Training runs without halving."""

    @property
    def share(self) -> float:
        """Of the cost without halving."""
        return self.expected / self.whole

    def text(self) -> list[str]:
        """Where training runs pause or end, and what that saves."""
        fidelity, lines = FIDELITIES[self.fidelity], dict[str, list[str]]()
        for cell, (*rungs, whole) in self.rungs.items():
            lines.setdefault(fidelity.ladder_text(rungs, whole), []).append(cell)
        shown = [p if len(lines) == 1 else f"{p} ({', '.join(c)})" for p, c in lines.items()]
        return [
            f"  halving: one in {self.eta} goes on after {'; '.join(shown)}: {self.whole:,} "
            f"fine-tunings are expected to cost as much as {self.expected:.1f} whole ones "
            f"({self.share:.0%})"
        ]


@dataclass(frozen=True)
class SearchOutlook:
    """The searches of a study in words, and what the rest of them costs."""

    head: str
    spaces: tuple[str, ...]
    """Each parameter of each space."""
    sample: tuple[str, ...]
    """Configurations drawn at random from the spaces."""
    asked: int
    """Configurations that were asked for, those of the next round among them."""
    remaining: int
    """Configurations that may still be asked for."""
    replicates: int
    """Most training runs that may go into further seeds."""
    passes: int
    """Image passes of both, as many as the sample takes on average."""
    halving: HalvingOutlook | None = None
    """What halving saves; None without."""

    def text(self) -> list[str]:
        """The lines that `fairfm sweep plan` prints."""
        further = f" and up to {counted(self.replicates, 'further training run')}" * bool(
            self.replicates
        )
        return [
            f"search: {self.head}",
            *(f"  {line}" for line in self.spaces),
            *([] if self.halving is None else self.halving.text()),
            "  sample of the space (the search draws others):",
            *(f"    {line}" for line in self.sample),
            f"  asked for so far, the next round included: {self.asked}; still to ask for: "
            f"{counted(self.remaining, 'configuration')}{further}, about {self.passes:,} image "
            "passes",
        ]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


def search_outlook(study: StudySpec, search: StudySearch, plan: StudyPlan) -> SearchOutlook:
    """The outlook of a study's searches; raises BadInput for a configuration that is impossible."""
    _check_extremes(study, search.searches)
    sample = list(_sample(search.searches, search.spec.seed))
    planned = make_plan(study, sample)
    halving = _halving(search, planned)
    whole = {s.fingerprint: s for trial in planned.trials for s in trial.stages}
    new = [stage for f, stage in whole.items() if f not in plan.stages]
    each = sum(image_passes(stage, planned.data.values()) for stage in new)
    wanted = sum(searched.configurations for searched in search.searches)
    asked = len(search.asked)
    runs, further = _runs_left(search, wanted)
    share = halving.share if halving else 1.0
    passes = each * (share * runs + further) / max(1, len(planned.trials))
    return SearchOutlook(
        _head(search.spec, search.searches),
        tuple(_spaces(search.searches)),
        tuple(_line(one) for one in sample),
        asked,
        max(0, wanted - asked),
        further,
        ceil(passes),
        halving,
    )


def _halving(search: StudySearch, sample: StudyPlan) -> HalvingOutlook | None:
    """What halving is expected to save of the fine-tunings of all searches."""
    if search.halving is None:
        return None
    spec, rungs_of = search.halving.spec, search.halving.rungs_of
    assert isinstance(rungs_of, StudyRungs)
    configurations = {each.cell: each.configurations for each in search.searches}
    seeds = len(starting_seeds(search.seeds, search.spec))
    runs = {cell: configurations[cell] * seeds for cell in rungs_of.whole}
    places = {cell: (*rungs_of.rungs[cell], whole) for cell, whole in rungs_of.whole.items()}
    cost = sum(
        count * expected_cost(spec, _costs(spec.record, places[cell], sample))
        for cell, count in runs.items()
    )
    return HalvingOutlook(spec.eta, spec.fidelity, places, cost, sum(runs.values()))


def _costs(fidelity: Fidelity, sizes: Sequence[Rung], sample: StudyPlan) -> list[float]:
    """The cost of a fine-tuning of each size, as a share of that of the last.

    A smaller training passes the whole of the validation images: where the sample holds one, its
    images are counted.
    """
    shares = [size / sizes[-1] for size in sizes]
    tuned = [trial for trial in sample.trials if set(sizes[:-1]) <= trial.smaller.keys()]
    if fidelity.continues or not tuned:
        return [share ** max(1, fidelity.power) for share in shares]
    stages = [*(tuned[0].smaller[size].adapt for size in sizes[:-1]), tuned[0].adapt]
    passes = [image_passes(stage, sample.data.values()) for stage in stages]
    return [
        share**fidelity.power * count / passes[-1]
        for share, count in zip(shares, passes, strict=True)
    ]


def _runs_left(search: StudySearch, wanted: int) -> tuple[int, int]:
    """Training runs of configurations still to ask for, and at most of further seeds."""
    starting = search.spec.replicates.start if search.spec.replicates else len(search.seeds)
    first = max(0, wanted - len(search.asked)) * starting
    if search.spec.replicates is None:
        return first, 0
    spent = sum(max(0, len(each.seeds) - starting) for each in search.asked)
    budgets = (most_further(search.spec, trained_whole(search, s)) for s in search.searches)
    return first, max(0, sum(budgets) - spent)


def trained_whole(search: StudySearch, searched: Searched) -> int:
    """About how many configurations of a search are trained to the end."""
    if search.halving is None:
        return searched.configurations
    assert isinstance(search.halving.rungs_of, StudyRungs)
    rungs = len(search.halving.rungs_of.rungs.get(searched.cell, ()))
    whole: float = searched.configurations / search.halving.spec.eta**rungs
    return max(1, round(whole))


def _head(spec: SearchSpec, searches: Sequence[Searched]) -> str:
    where = "" if len(searches) == 1 else f" for each of {len(searches)} cells"
    configurations = " to ".join(
        str(n)
        for n in sorted(
            {min(s.configurations for s in searches), max(s.configurations for s in searches)}
        )
    )
    text = (
        f"{spec.sampler} ({SAMPLERS[spec.sampler].text}), {configurations} configurations{where}, "
        f"in rounds of {spec.batch}"
    )
    if spec.replicates is not None:
        each = spec.replicates
        text += (
            f"; {counted(each.start, 'seed')} each, up to {each.confirm} for those that may be on "
            f"the front, at most {each.budget:.0%} of all training runs"
        )
    limits = "; ".join(constraint.text() for constraint in spec.constraints)
    return text + (f"; only with {limits}" if limits else "")


def _spaces(searches: Sequence[Searched]) -> Iterator[str]:
    """The parameters of each distinct space, with the cells that have it."""
    spaces: dict[tuple[str, ...], list[str]] = {}
    for searched in searches:
        lines = tuple(each.text() for each in searched.space.parameters)
        spaces.setdefault(lines, []).append(searched.cell)
    for lines, cells in spaces.items():
        if len(spaces) > 1:
            yield f"{', '.join(cells)}:"
        yield from lines or ("no parameter: one configuration",)


def _sample(searches: Sequence[Searched], seed: int) -> Iterator[AskedConfiguration]:
    """Configurations drawn at random, from each search in turn."""
    random = stream(seed, "search sample")
    for number in range(SAMPLE):
        searched = searches[number % len(searches)]
        choices = searched.space.drawn(lambda parameter: parameter.domain.at(random.random()), {})
        yield _configuration(searched, number + 1, choices)


def _configuration(
    searched: Searched, number: int, choices: dict[str, Choice]
) -> AskedConfiguration:
    cell = searched.cell_of(choices)
    return AskedConfiguration(searched.cell, cell, number, choices, (0,), (0,))


def _line(one: AskedConfiguration) -> str:
    chosen = [f"{name} {label_text(choice)}" for name, choice in one.choices.items()]
    named = one.cell if CELL not in one.choices and one.cell != "base" else ""
    return f"{named}: {', '.join(chosen)}" if named else ", ".join(chosen)


def _check_extremes(study: StudySpec, searches: Sequence[Searched]) -> None:
    """Make a trial of every label and of both ends of every range."""
    extremes = [
        _configuration(searched, number, searched.space.drawn(choose, {}))
        for searched in searches
        for number, choose in enumerate(searched.space.extremes(), start=1)
    ]
    expand(study, extremes)
