"""The seeds of a study, on two levels: pre-trainings, and adaptations that start from one of them.

Every adaptation of one pre-training starts from the same weights, so adaptation seeds alone do not
show how much a result depends on the run of the pre-training. A study that lists
`seeds: {adaptation: [0, 1, 2], pretraining: [0, 1]}` runs every pair. Trials that start from
published weights or from scratch have adaptation seeds only: there is one file of published
weights, and a trial from scratch draws its own initial weights with its adaptation seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import Discriminator, Tag, field_validator, model_validator

from fairfm_core.config.frozen import Frozen, Values
from fairfm_core.errors import BadInput

PRETRAINING, WEIGHTS = "pretraining", "weights"
SEED_AXIS = "weights.pretraining.seed"


def checked_seeds(seeds: Any) -> Any:
    """Raw seeds unchanged; raises BadInput for a truth value, which would count as 0 or 1."""
    if isinstance(seeds, list | tuple) and any(isinstance(seed, bool) for seed in seeds):
        raise BadInput(f"seeds are whole numbers, not true or false: {list(seeds)}")
    return seeds


def distinct_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds unchanged; raises BadInput if there are none or one is repeated."""
    if not seeds or len(set(seeds)) != len(seeds):
        raise BadInput(f"give at least one seed, and each only once, not {list(seeds)}")
    return seeds


class SeedLevels(Frozen):
    """Seeds of adaptations and of pre-trainings; a trial from a pre-training runs at every pair."""

    adaptation: tuple[int, ...] = (0,)
    """Seeds of the adaptations."""
    pretraining: tuple[int, ...] | None = None
    """By default each pre-training has the one seed that it states itself."""

    @field_validator("adaptation", "pretraining", mode="before")
    @classmethod
    def _numbers(cls, seeds: Any) -> Any:
        return checked_seeds(seeds)

    @field_validator("adaptation", "pretraining")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return None if seeds is None else distinct_seeds(seeds)

    @model_validator(mode="before")
    @classmethod
    def _some(cls, values: Any) -> Any:
        if values == {}:
            raise BadInput("give at least one seed: a list, or lists under adaptation, pretraining")
        return values


def _form(seeds: Any) -> str:
    return "SeedLevels" if isinstance(seeds, dict | SeedLevels) else "tuple"


StudySeeds = Annotated[
    Annotated[tuple[int, ...], Tag("tuple")] | Annotated[SeedLevels, Tag("SeedLevels")],
    Discriminator(_form),
]
"""A list of adaptation seeds, or the seeds of both levels. The tags are the names of the types, by
which errors are explained (`yaml_input.py`)."""


def pretraining_of(values: Values) -> Values | None:
    """The raw settings of a trial's pre-training; None if it starts from other weights."""
    weights = values.get(WEIGHTS)
    holder = weights if isinstance(weights, dict) and PRETRAINING in weights else values
    given = holder.get(PRETRAINING)
    return given if isinstance(given, dict) else None


def at_pretraining_seed(values: Values, seed: int) -> Values:
    """A trial's raw values with the seed of its pre-training."""
    given = pretraining_of(values)
    assert given is not None, "the trial has no pre-training"
    seeded, weights = {PRETRAINING: {**given, "seed": seed}}, values.get(WEIGHTS)
    if isinstance(weights, dict) and PRETRAINING in weights:
        return {**values, WEIGHTS: {**weights, **seeded}}
    return {**values, **seeded}


def trial_seeds(levels: SeedLevels, values: Values) -> Iterator[tuple[int | None, int]]:
    """The pairs of pre-training and adaptation seeds at which a trial runs.

    The first of a pair is None where the study lists no seeds of pre-trainings, and for a trial
    without a pre-training.
    """
    listed: tuple[int | None, ...] = (None,)
    if levels.pretraining is not None and pretraining_of(values) is not None:
        listed = levels.pretraining
    for before in listed:
        for seed in levels.adaptation:
            yield before, seed


def check_pretraining_seeds(
    listed: tuple[int, ...], axes: Iterable[str], cells: Iterable[Values]
) -> None:
    """Raises BadInput for pre-training seeds that are written twice, or that no trial can have."""
    if SEED_AXIS in axes:
        raise BadInput(
            f"seeds.pretraining and the axis {SEED_AXIS!r} list the same seeds: remove the axis; "
            "its trials would be configurations of their own instead of repetitions"
        )
    before = [given for values in cells if (given := pretraining_of(values)) is not None]
    if not before:
        raise BadInput(
            "seeds.pretraining lists seeds, but no trial has a pre-training (weights: "
            "{pretraining: ...}): remove it, or write the adaptation seeds as a plain list"
        )
    if written := [given["seed"] for given in before if "seed" in given]:
        raise BadInput(
            f"{SEED_AXIS} is {written[0]!r} in a trial, and seeds.pretraining lists "
            f"{list(listed)}: remove one of them"
        )
