"""What a search asks for: its cells, and the configurations that it has asked for so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fairfm_core.errors import BadInput
from sweeps.search.domains import Choice
from sweeps.search.grammar import SearchSpec
from sweeps.search.space import Space, label_text

ALL = "all"
"""The name of a search over all cells."""
BASE = "base"
"""The name of the only cell of a study without a matrix."""
CELL = "cell"
"""The parameter of a search over all cells that names the cell."""


@dataclass(frozen=True)
class Searched:
    """One search: a cell of the matrix with the space inside it."""

    cell: str
    """Its name: the labels of its axes, or `all`."""
    cells: Mapping[str, Mapping[str, str]]
    """The labels of the axes of each cell, by its name; a single one unless it is over all."""
    spaces: Mapping[str, Space]
    """The space of each cell."""
    space: Space
    """What the sampler searches: of a search over all, the cell is its first parameter."""
    firsts: tuple[Mapping[str, Choice], ...]
    """Points to begin with."""
    configurations: int
    """How many configurations it asks for, at most as many as there are."""

    def cell_of(self, configuration: Mapping[str, Choice]) -> str:
        """The name of the cell that a configuration belongs to."""
        return str(configuration.get(CELL, self.cell))

    def labels_of(self, configuration: Mapping[str, Choice]) -> Mapping[str, str]:
        """The labels of its cell's axes; none before the cell is chosen."""
        return self.cells.get(self.cell_of(configuration), {})


@dataclass(frozen=True)
class AskedConfiguration:
    """A configuration that a search has asked for, with the seeds it is trained at."""

    search: str
    """The cell of the search."""
    cell: str
    """The cell that it belongs to; another one only in a search over all cells."""
    number: int
    """Its place in the search, from 1."""
    choices: Mapping[str, Choice]
    """Its choice of each parameter that exists, by the parameter's name."""
    seeds: tuple[int, ...]
    """In the order in which they were asked for."""
    rounds: tuple[int, ...] = field(default=())
    """The round in which each of its seeds was asked for."""
    given: bool = False
    """Whether it is one of the first points, which a user gave."""
    known: bool = False
    """Whether it was taken over from another search: it does not count among those asked for."""

    @property
    def key(self) -> tuple[str, int]:
        """What identifies it within a study."""
        return self.search, self.number

    @property
    def label(self) -> str:
        """The name of the configuration within its cell."""
        return f"c{self.number:03}"

    @property
    def parameters(self) -> dict[str, str]:
        """Its choices as text, by parameter."""
        return {name: label_text(choice) for name, choice in self.choices.items() if name != CELL}


def seeds_of(listed: Sequence[int], spec: SearchSpec) -> tuple[int, ...]:
    """Every seed that a configuration may get: the study's, continued for its replicates."""
    if spec.replicates is None:
        return tuple(listed)
    seeds = list(listed)[: spec.replicates.confirm]
    further = (number for number in range(10**6) if number not in seeds)
    while len(seeds) < spec.replicates.confirm:
        seeds.append(next(further))
    return tuple(seeds)


def starting_seeds(listed: Sequence[int], spec: SearchSpec) -> tuple[int, ...]:
    """The seeds at which each configuration is first trained."""
    if spec.replicates is None:
        return tuple(listed)
    return seeds_of(listed, spec)[: spec.replicates.start]


def check_replicates(listed: Sequence[int], spec: SearchSpec) -> None:
    """Raise BadInput for a study whose list of seeds contradicts the replicates of its search."""
    if spec.replicates is not None and len(listed) > spec.replicates.confirm:
        raise BadInput(
            f"seeds lists {len(listed)} seeds and search.replicates.confirm is "
            f"{spec.replicates.confirm}: shorten the list, or raise confirm"
        )
