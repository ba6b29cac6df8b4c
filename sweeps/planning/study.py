"""A study: the YAML file that asks the question, and the trials it expands to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.frozen import Frozen, Precision
from fairfm_core.config.trial import Trial
from fairfm_core.config.yaml_input import read_record, validated
from fairfm_core.errors import BadInput, at_place, did_you_mean, shortened
from fairfm_core.evaluation.metrics import check_families
from fairfm_core.evaluation.selection.objectives import Objective, parse_objectives
from fairfm_core.stages import FollowedNumbers
from fairfm_core.yaml_text import YamlLines
from sweeps.planning.axes import check_axes, check_size
from sweeps.planning.caps import Caps
from sweeps.planning.seeds import (
    SeedLevels,
    StudySeeds,
    at_pretraining_seed,
    check_pretraining_seeds,
    checked_seeds,
    distinct_seeds,
    trial_seeds,
)
from sweeps.planning.shared_settings import (
    IMAGES,
    Budget,
    Cell,
    Settled,
    StudyImages,
    check_base,
    settle,
)
from sweeps.planning.tracking_uri import checked_uri, without_password
from sweeps.search.asked import CELL, AskedConfiguration, Searched, check_replicates
from sweeps.search.cells import cell_name, check_search, kinds, searches
from sweeps.search.domains import Choice
from sweeps.search.grammar import SearchSpec
from sweeps.search.space import Space

ALWAYS_FOLLOWED = "val/auc"
"""Its absence tells that nothing was noted of an epoch."""
LONGEST_NAME = 100
"""Most characters of a study's name."""


class Resources(Frozen):
    """The resources of one training stage."""

    cpus: float | None = Field(None, gt=0)
    """Null means 1; with a GPU, the GPU's share of the node's cores, up to 8, to load images."""
    gpus: float | None = Field(None, ge=0)
    """GPUs of a training stage, fractions allowed; null means 1 where the cluster has any."""
    workers: int = Field(1, ge=1)
    """Workers that share each batch of a pre-training, each with these cpus and gpus."""

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, gpus: float | None) -> float | None:
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            raise BadInput(f"{gpus:g} GPUs are not possible: above 1, give a whole number")
        return gpus


class Tracking(Frozen):
    """Where MLflow runs are written."""

    model_config = ConfigDict(hide_input_in_errors=True)

    uri: str | None = Field(None, repr=False)
    """Null means MLFLOW_TRACKING_URI, or else SQLite in the results folder."""

    @field_validator("uri")
    @classmethod
    def _usable(cls, uri: str | None) -> str | None:
        return None if uri is None else checked_uri(uri)

    @field_serializer("uri")
    def _without_password(self, uri: str | None) -> str | None:
        """No password is ever written to a results folder."""
        return None if uri is None else without_password(uri)


class StudySpec(Frozen):
    """A study as written in its YAML file: `base` and the axes that vary over it."""

    model_config = ConfigDict(hide_input_in_errors=True)  # tracking.uri may hold a password

    study: str
    """Its name, also that of its folder in the results: letters, digits, `-` and `_`."""
    claim: str = ""
    """The question in a sentence, for the reader; the front, the report and MLflow show it."""
    base: dict[str, Any]
    """The trial that all others vary: its keys are those of a trial."""
    matrix: dict[str, list[Any] | dict[str, Any]] = Field(default_factory=dict)
    """Axis (a dotted path into a trial) -> its values, or a mapping of labels to values."""
    include: tuple[dict[str, Any], ...] = ()
    """Additional trials, each a partial trial over `base`, with an optional `name`."""
    exclude: tuple[dict[str, Any], ...] = ()
    """Cells of the matrix to leave out, each a mapping of axes to labels."""
    seeds: StudySeeds = (0,)
    """Seeds of the adaptations; `{adaptation: [...], pretraining: [...]}` also repeats every
    pre-training of the study, and intervals then cover both kinds of repetition."""
    objectives: tuple[Objective, ...] = ()
    """Objectives of the front; by default AUC and the gap of every evaluated attribute."""
    images: StudyImages = StudyImages()
    """How every trial sees its images."""
    budget: Budget = "equal"
    """`equal`: trials of one network, method and recipe train for the same epochs and in the same
    batches. `by_model`: each as the paper trains its model (section 3.2). Values that a trial
    writes itself take precedence."""
    precision: Precision = "auto"
    """Precision in which networks are trained and compute features, unless a trial says otherwise.
    `auto`: on a CPU bfloat16 if that is measured to be clearly faster when the study begins, which
    stays with its results; else float32; on a GPU that of the device."""
    resources: Resources = Resources()
    """What a training stage gets of a machine."""
    tracking: Tracking = Tracking()
    """Where MLflow runs are written."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How predictions become metrics, gaps and intervals."""
    search: SearchSpec | None = None
    """A search inside each cell of the matrix; without one, each cell is a trial."""
    caps: Caps | None = None
    """Where the runs of the study end: trials, hours, GPU hours, cost."""
    _lines: YamlLines | None = PrivateAttr(None)
    """The lines of its file, for messages; None for a study that was not read from one."""

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A study without a search, caps or precision is recorded as before there were any."""
        values: dict[str, Any] = dump(self)
        if self.precision == "auto":
            values.pop("precision", None)
        for name in ("search", "caps"):
            if getattr(self, name) is None:
                values.pop(name, None)
        return values

    @field_validator("study")
    @classmethod
    def _usable_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            usable = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_") or "my-study"
            raise BadInput(
                f"{shortened(name)!r} cannot name a folder of results: use letters, digits, - and "
                f"_, starting with a letter or a digit, such as {usable[:LONGEST_NAME]!r}"
            )
        if len(name) > LONGEST_NAME:
            raise BadInput(
                f"a study's name has at most {LONGEST_NAME} characters, not {len(name)}: it names "
                "a folder and an experiment; the claim may be longer"
            )
        return name

    @field_validator("seeds", mode="before")
    @classmethod
    def _numbers(cls, seeds: Any) -> Any:
        return checked_seeds(seeds)

    @field_validator("seeds")
    @classmethod
    def _usable_seeds(cls, seeds: tuple[int, ...] | SeedLevels) -> tuple[int, ...] | SeedLevels:
        if not isinstance(seeds, SeedLevels):
            return distinct_seeds(seeds)
        return seeds.adaptation if seeds.pretraining is None else seeds

    @field_validator("evaluation")
    @classmethod
    def _known_metrics(cls, evaluation: EvaluationSettings) -> EvaluationSettings:
        check_families(evaluation.metrics)
        return evaluation

    @field_validator("matrix")
    @classmethod
    def _usable_axes(cls, matrix: dict[str, Any]) -> dict[str, Any]:
        if "seed" in matrix:
            raise BadInput("'seed' cannot be an axis of the matrix: list the seeds under 'seeds'")
        for axis, values in matrix.items():
            if not values:
                raise BadInput(f"axis {axis!r} has no values: give at least one, or remove it")
            with at_place(axis):
                _labelled(values)
        check_axes(matrix)
        return matrix

    @model_validator(mode="before")
    @classmethod
    def _default_objectives(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("objectives") is not None:
            return values
        evaluation = values.get("evaluation")
        given = evaluation.get("attributes") if isinstance(evaluation, dict) else None
        attributes = given or EvaluationSettings().attributes
        gaps = [{"metric": f"val/gap_{name}", "goal": "minimize"} for name in attributes]
        return {**values, "objectives": [{"metric": "val/auc", "goal": "maximize"}, *gaps]}

    @model_validator(mode="after")
    def _consistent(self) -> StudySpec:
        for number, cell in enumerate(self.exclude):
            for axis, label in cell.items():
                with at_place("exclude", str(number), axis):
                    _check_excluded(self.matrix, axis, str(label))
        sizes = [len(values) for values in self.matrix.values()]
        if self.search is not None:
            with at_place("search"):
                _check_search(self, self.search)
            sizes.append(self.search.configurations)
        with at_place("matrix"):
            check_size(sizes, len(self.levels.adaptation))
        with at_place("base", "backbone"):
            check_base(self.base, self.images)
        with at_place("seeds", "pretraining"):
            if (listed := self.levels.pretraining) is not None:
                check_pretraining_seeds(listed, self.matrix, (values for _, values in _cells(self)))
        self._check_objectives()
        return self

    def _check_objectives(self) -> None:
        """Each alone, so that the line of a wrong one is named, then all together."""
        given = [objective.model_dump() for objective in self.objectives]
        for number, objective in enumerate(given):
            with at_place("objectives", str(number)):
                parse_objectives([objective], self.evaluation)
        with at_place("objectives"):
            parse_objectives(given, self.evaluation)

    @property
    def levels(self) -> SeedLevels:
        """The seeds of both levels."""
        if isinstance(self.seeds, SeedLevels):
            return self.seeds
        return SeedLevels(adaptation=self.seeds)


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


def read_study(path: Path) -> StudySpec:
    """The study in a YAML file; raises BadInput, in one line, for any unknown key or value."""
    study, lines = read_record(StudySpec, path)
    study._lines = lines
    return study


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
    below = {cell_name(labels): (labels, values) for labels, values in _matrix_cells(study)}
    possible = [
        _searched_cell(below[cell], one.space, choices)
        for one in searched.values()
        for cell, choices in kinds(one)
    ]
    wanted = [_searched_cell(below[e.cell], searched[e.search].space, e.choices) for e in asked]
    cells = [*possible, *_fixed_cells(study), *wanted]
    whole = settle(cells, study.images, study.budget, study.precision)
    return replace(whole, cells=whole.cells[len(possible) :])


def followed_numbers(study: StudySpec) -> FollowedNumbers:
    """What every fine-tuning notes of each epoch: the AUC, objectives, what constraints bound."""
    limits = () if study.search is None else study.search.constraints
    metrics = [*(each.metric for each in study.objectives), *(each.metric for each in limits)]
    return FollowedNumbers(study.evaluation, tuple(dict.fromkeys([ALWAYS_FOLLOWED, *metrics])))


def study_searches(study: StudySpec) -> tuple[Searched, ...]:
    """The searches of a study; none without a `search` section."""
    if study.search is None:
        return ()
    axes = {axis: list(_labelled(values)) for axis, values in study.matrix.items()}
    return searches(study.search, [labels for labels, _ in _matrix_cells(study)], axes)


def written_values(
    study: StudySpec, searched: Searched, choices: Mapping[str, Choice]
) -> Mapping[str, Any]:
    """What a study writes of the trials of a configuration, without recipes and defaults."""
    cell = searched.cell_of(choices)
    below = {cell_name(labels): (labels, values) for labels, values in _matrix_cells(study)}
    return _searched_cell(below[cell], searched.space, choices)[1]


def _cells(study: StudySpec) -> list[Cell]:
    """The cells of the matrix, then the included trials."""
    return [*_matrix_cells(study), *_included_cells(study)]


def _fixed_cells(study: StudySpec) -> list[Cell]:
    """The cells that are trials themselves: in a study with a search, the included ones alone."""
    return _cells(study) if study.search is None else list(_included_cells(study))


def _searched_cell(cell: Cell, space: Space, choices: Mapping[str, Choice]) -> Cell:
    """A cell of the matrix with the choices of a search laid over it."""
    labels, values = cell
    for path, value in space.written(choices):
        if path != CELL:
            values = _merged(values, _nested(path, value))
    return labels, values


def _matrix_cells(study: StudySpec) -> Iterator[Cell]:
    """(labels by axis, raw trial values) of each cell that is not excluded."""
    axes = {axis: _labelled(values) for axis, values in study.matrix.items()}
    for choice in itertools.product(*(values.items() for values in axes.values())):
        labels = dict(zip(axes, (label for label, _ in choice), strict=True))
        if any(_matches(labels, cell) for cell in study.exclude):
            continue
        values = study.base
        for axis, (_, value) in zip(axes, choice, strict=True):
            values = _merged(values, _nested(axis, value))
        yield labels, values


def _included_cells(study: StudySpec) -> Iterator[Cell]:
    for number, extra in enumerate(study.include):
        extra = dict(extra)
        name = str(extra.pop("name", f"extra{number}"))
        yield {"include": name}, _merged(study.base, extra)


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
            labels = list(_labelled(study.matrix[axis]))
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


def _labelled(values: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """Values by label: a mapping as it is, a list labelled with the text of its values."""
    if isinstance(values, dict):
        return values
    if unlabelled := [value for value in values if isinstance(value, dict)]:
        raise BadInput(
            f"values that are mappings, such as {unlabelled[0]}, need labels to name trials by; "
            "write the axis as a mapping of labels to values"
        )
    return {str(value): value for value in values}


def _nested(axis: str, value: Any) -> dict[str, Any]:
    for part in reversed(axis.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, mapping by mapping."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _matches(labels: dict[str, str], cell: dict[str, Any]) -> bool:
    return all(labels[axis] == str(label) for axis, label in cell.items())


def _check_search(study: StudySpec, search: SearchSpec) -> None:
    """Raise BadInput for a search that this study cannot run."""
    matrix = {axis: _labelled(values) for axis, values in study.matrix.items()}
    check_search(search, matrix, [f"{IMAGES}.{field}" for field in StudyImages.model_fields])
    if search.replicates is not None and study.levels.pretraining is not None:
        raise BadInput(
            "search.replicates repeats adaptations: list the seeds of pre-trainings in a study of "
            "its own, or remove replicates"
        )
    check_replicates(study.levels.adaptation, search)
    for constraint in search.constraints:
        constraint.check_evaluated(study.evaluation)
    study_searches(study)


def _check_excluded(matrix: dict[str, Any], axis: str, label: str) -> None:
    if axis not in matrix:
        raise BadInput(
            f"exclude names axis {axis!r}{did_you_mean(axis, matrix)}; "
            f"axes of the matrix: {', '.join(matrix) or 'none'}"
        )
    labels = list(_labelled(matrix[axis]))
    if label not in labels:
        raise BadInput(
            f"exclude names {axis}: {label!r}{did_you_mean(label, labels)}; "
            f"its values: {', '.join(labels)}"
        )
