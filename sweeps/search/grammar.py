"""The `search` section of a study: the space, the sampler, how many configurations it may ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from fairfm_core.config.frozen import Frozen
from fairfm_core.config.named_records import known_name
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.evaluation.selection.constraints import Constraint
from sweeps.search.halving import FidelityName, SearchHalving
from sweeps.search.space import Axes, Space, read_space

MOST_SEEDS = 100
"""Seeds of one configuration."""


@dataclass(frozen=True)
class Sampler:
    """What is known of a sampler before it runs."""

    name: str
    conditional: bool
    """Whether it learns about parameters that do not always exist."""
    text: str


SAMPLERS = {
    each.name: each
    for each in (
        Sampler("tpe", True, "tree-structured Parzen estimator, several objectives"),
        Sampler("gp", False, "Gaussian process, expected hypervolume"),
        Sampler("nsga2", False, "genetic, NSGA-II"),
        Sampler("nsga3", False, "genetic, NSGA-III"),
        Sampler("qmc", True, "scrambled Sobol points"),
        Sampler("random", True, "independent draws"),
    )
}


def _known_sampler(name: Any) -> str:
    return known_name(name, SAMPLERS, "sampler")


SamplerName = Annotated[
    Literal["tpe", "gp", "nsga2", "nsga3", "qmc", "random"], BeforeValidator(_known_sampler)
]


class SearchReplicates(Frozen):
    """Further seeds for the configurations that may be on the front: racing."""

    start: int = Field(1, ge=1, le=MOST_SEEDS)
    """Seeds with which each configuration is first trained."""
    confirm: int = Field(5, ge=2, le=MOST_SEEDS)
    """Most seeds of one configuration."""
    budget: float = Field(0.4, gt=0, lt=1)
    """Largest share of all training runs of a search that goes into further seeds."""
    settled: tuple[float, float] = (0.05, 0.95)
    """The front is settled where no configuration's probability of being on it lies between."""

    @model_validator(mode="after")
    def _ordered(self) -> SearchReplicates:
        if self.confirm <= self.start:
            raise BadInput(f"confirm {self.confirm} must be above start {self.start}")
        low, high = self.settled
        if not 0 <= low < high <= 1:
            raise BadInput(f"settled {list(self.settled)} must be two probabilities, low first")
        return self


class SearchSpec(Frozen):
    """A search for good configurations inside each cell of the matrix, or over all of them."""

    parameters: dict[str, Any]
    """Dotted path into a trial -> `{low, high, log, int, step}`, a list of values, or a mapping of
    labels to values. A label may have parameters of its own: `{value: ..., parameters: {...}}`;
    `when: {AXIS: LABEL}` limits a parameter to labels of an axis."""
    configurations: int = Field(60, ge=1)
    """Configurations that each search asks for."""
    sampler: SamplerName = "tpe"
    """`tpe`, `gp`, `nsga2`, `nsga3`, `qmc` (Sobol points) or `random`."""
    over: Literal["cell", "all"] = "cell"
    """`cell`: one search for each cell of the matrix. `all`: one search, whose configurations
    choose their cell too."""
    first: tuple[dict[str, Any], ...] = ()
    """Configurations to begin with, each a mapping of parameters to values or labels; what it
    leaves out is drawn. An axis and its label limit it to these cells."""
    warm_start: bool = False
    """Begin with what other searches in the results folder have tried, as far as it is this study's
    work too: it is taken over without training, beside the `configurations`."""
    batch: int = Field(8, ge=1)
    """Configurations asked for together; the next ones wait for their values. Their probes share
    features and passes, and the result depends on no timing."""
    seed: int = Field(0, ge=0)
    """Random seed of the sampler."""
    constraints: tuple[Constraint, ...] = ()
    """Bounds of validation metrics: `{metric: val/auc, at_least: 0.78}`. A configuration that
    breaks one is never on the front and never chosen."""
    replicates: SearchReplicates | None = None
    """Further seeds where the front is uncertain; without, each configuration runs at all seeds of
    the study."""
    halving: SearchHalving | None = None
    """Early stopping of fine-tunings that are not among the best after some epochs; without, each
    configuration trains to the end."""

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A search without halving is recorded as it was before there was any."""
        values: dict[str, Any] = dump(self)
        if self.halving is None:
            values.pop("halving", None)
        return values

    @field_validator("parameters")
    @classmethod
    def _some(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        if not parameters:
            raise BadInput("give at least one parameter, such as adaptation.base_lr: {low, high}")
        return parameters

    @property
    def fidelity(self) -> FidelityName:
        """What a rung of its halving is less of."""
        return "epochs" if self.halving is None else self.halving.fidelity

    def space(self, axes: Axes) -> Space:
        """The whole space, with conditions on axes; raises BadInput if it cannot be searched."""
        try:
            return read_space(self.parameters, axes)
        except BadInput as error:
            raise BadInput(f"search.parameters: {error}") from None

    def check_sampler(self, space: Space) -> None:
        """Raise BadInput for a sampler that would ignore conditional parameters."""
        if space.conditional and not SAMPLERS[self.sampler].conditional:
            able = " or ".join(name for name, each in SAMPLERS.items() if each.conditional)
            raise BadInput(
                f"search.sampler: {self.sampler} cannot search conditional parameters "
                f"({space.conditional[0].text()}): use {able}, or make the condition an axis of "
                "the matrix, which gives each label a search of its own"
            )

    def starting_point(
        self, point: Mapping[str, Any], space: Space, axes: Mapping[str, str]
    ) -> dict[str, Any] | None:
        """A first point's choices by parameter in the cell with these axes; None if another's.

        Raises BadInput for a value that its parameter does not have.
        """
        if any(axes[name] != str(label) for name, label in point.items() if name in axes):
            return None
        given = {name: value for name, value in point.items() if name not in axes}
        used: set[str] = set()
        choose = _given_choice(given, used)
        chosen = space.drawn(choose, axes)
        return {k: v for k, v in chosen.items() if v is not None} if used == set(given) else None

    def check_point(self, point: Mapping[str, Any], known: Axes) -> None:
        """Raise BadInput for a first point that names what is neither parameter nor axis."""
        for name in point:
            if name not in known:
                raise BadInput(
                    f"search.first names {name!r}{did_you_mean(str(name), known)}, which is no "
                    f"parameter of the search; known: {first_ten(known)}"
                )


def _given_choice(given: Mapping[str, Any], used: set[str]) -> Callable[..., Any]:
    def choose(parameter: Any) -> Any:
        for name in (parameter.name, parameter.path):
            if name in given:
                used.add(name)
                return parameter.domain.chosen(given[name], f"search.first: {parameter.name}")
        return None

    return choose
