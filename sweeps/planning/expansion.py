"""The trials that a study expands to: cells at every seed, and what a search has asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fairfm_core.config.trial import Trial
from fairfm_core.config.yaml_input import validated
from fairfm_core.stages import FollowedNumbers
from sweeps.planning.axes import labelled, laid_over
from sweeps.planning.seeds import SeedLevels, at_pretraining_seed, trial_seeds
from sweeps.planning.shared_settings import Cell, Settled, settle
from sweeps.planning.study import StudySpec, study_searches
from sweeps.search.asked import CELL, AskedConfiguration, Searched
from sweeps.search.cells import cell_name, kinds
from sweeps.search.domains import Choice
from sweeps.search.space import Space

ALWAYS_FOLLOWED = "val/auc"
"""Its absence tells that nothing was noted of an epoch."""


@dataclass(frozen=True)
class StudyTrial:
    """One trial of a study with its name and the labels of its axes."""

    name: str
    axes: dict[str, str]
    """Axis -> label of this trial's value."""
    trial: Trial
    pretraining_seed: int | None = None
    """Which repetition of its pre-training it starts from; None where the study repeats none."""
    asked: AskedConfiguration | None = None
    """The configuration of a search that it belongs to; None for a cell of the matrix."""


def expand(study: StudySpec, asked: Sequence[AskedConfiguration] = ()) -> list[StudyTrial]:
    """All trials of the study: every cell of the matrix and every included trial at every seed.

    Where the study lists seeds of pre-trainings, a trial with one runs at every pair of seeds. In a
    study with a search, the trials are the included ones and those of the configurations that have
    been `asked` for.
    """
    cells = settled(study, asked).cells
    fixed = len(cells) - len(asked)
    trials = [
        trial for cell in cells[:fixed] for trial in _seeded_trials(study, cell, study.levels)
    ]
    for each, cell in zip(asked, cells[fixed:], strict=True):
        levels = SeedLevels(adaptation=each.seeds, pretraining=study.levels.pretraining)
        trials += _seeded_trials(study, cell, levels, each)
    return trials


def settled(study: StudySpec, asked: Sequence[AskedConfiguration] = ()) -> Settled:
    """The trials of one seed as raw values, with equal images and training budget.

    Those of the study's own cells come first, then one for each configuration that was `asked`
    for. What is made equal covers everything that a search could ask for, so that it does not
    depend on what it has asked so far.
    """
    searched = {each.cell: each for each in study_searches(study)}
    below = {cell_name(labels): (labels, values) for labels, values in study.matrix_cells}
    possible = [
        _searched_cell(below[cell], one.space, choices)
        for one in searched.values()
        for cell, choices in kinds(one)
    ]
    wanted = [_searched_cell(below[e.cell], searched[e.search].space, e.choices) for e in asked]
    cells = [*possible, *study.fixed_cells, *wanted]
    whole = settle(cells, study.images, study.budget, study.precision)
    return replace(whole, cells=whole.cells[len(possible) :])


def followed_numbers(study: StudySpec) -> FollowedNumbers:
    """What every fine-tuning notes of each epoch: the AUC, objectives, what constraints bound."""
    limits = () if study.search is None else study.search.constraints
    metrics = [*(each.metric for each in study.objectives), *(each.metric for each in limits)]
    return FollowedNumbers(study.evaluation, tuple(dict.fromkeys([ALWAYS_FOLLOWED, *metrics])))


def written_values(
    study: StudySpec, searched: Searched, choices: Mapping[str, Choice]
) -> Mapping[str, Any]:
    """What a study writes of the trials of a configuration, without recipes and defaults."""
    cell = searched.cell_of(choices)
    below = {cell_name(labels): (labels, values) for labels, values in study.matrix_cells}
    return _searched_cell(below[cell], searched.space, choices)[1]


def _searched_cell(cell: Cell, space: Space, choices: Mapping[str, Choice]) -> Cell:
    """A cell of the matrix with the choices of a search laid over it."""
    labels, values = cell
    for path, value in space.written(choices):
        if path != CELL:
            values = laid_over(values, path, value)
    return labels, values


def _seeded_trials(
    study: StudySpec, cell: Cell, levels: SeedLevels, asked: AskedConfiguration | None = None
) -> Iterator[StudyTrial]:
    """A cell at each of its seeds. Only the first of a pre-training is validated: the seed of an
    adaptation decides on nothing else, and 100,000 trials then share their records."""
    axes, values = cell
    validated_at: dict[int | None, Trial] = {}
    for before, seed in trial_seeds(levels, values):
        seeds = [f"s{seed}"] if before is None else [f"p{before}", f"s{seed}"]
        name = ".".join([*axes.values(), *([asked.label] if asked else []), *seeds])
        if before not in validated_at:
            own = values if before is None else at_pretraining_seed(values, before)
            validated_at[before] = _valid_trial(study, axes, name, {**own, "seed": seed})
        trial = validated_at[before].model_copy(update={"seed": seed})
        yield StudyTrial(name, axes, trial, before, asked)


def _valid_trial(
    study: StudySpec, axes: dict[str, str], name: str, values: dict[str, Any]
) -> Trial:
    """The trial of raw values; raises BadInput, naming it and the line."""
    whose = f"study {study.study}" if study._lines is None else study._lines.path
    return validated(Trial, values, f"{whose}, trial {name}", partial(_line_of, study, axes))


def _line_of(study: StudySpec, axes: dict[str, str], place: Sequence[str]) -> int | None:
    """The line that writes a value of the trial with these axes: of an axis, else of the base."""
    if study._lines is None:
        return None
    for axis, label in reversed(axes.items()):
        path = axis.split(".")
        if axis in study.matrix and list(place[: len(path)]) == path:
            labels = list(labelled(study.matrix[axis]))
            key = label if isinstance(study.matrix[axis], dict) else str(labels.index(label))
            written = ["matrix", axis, key, *place[len(path) :]]
            if study._lines.holds(written):
                return study._lines.of(written)
    for number, extra in enumerate(study.include):
        written = ["include", str(number), *place]
        own = str(extra.get("name", f"extra{number}")) == axes.get("include")
        if own and study._lines.holds(written):
            return study._lines.of(written)
    return study._lines.of(["base", *place])
