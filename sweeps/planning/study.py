"""A study: the YAML file that asks the question, and what is refused in it."""

from __future__ import annotations

import re
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
from fairfm_core.config.yaml_input import read_record
from fairfm_core.errors import BadInput, at_place, shortened
from fairfm_core.evaluation.metrics import check_families
from fairfm_core.evaluation.selection.objectives import Objective, parse_objectives
from fairfm_core.yaml_text import YamlLines
from sweeps.planning.axes import (
    check_axes,
    check_excluded,
    check_size,
    included_cells,
    labelled,
    matrix_cells,
)
from sweeps.planning.caps import Caps
from sweeps.planning.seeds import (
    SeedLevels,
    StudySeeds,
    check_pretraining_seeds,
    checked_seeds,
    distinct_seeds,
)
from sweeps.planning.shared_settings import (
    IMAGES,
    Budget,
    Cell,
    StudyImages,
    check_base,
)
from sweeps.planning.tracking_uri import checked_uri, without_password
from sweeps.search.asked import Searched, check_replicates
from sweeps.search.cells import check_search, searches
from sweeps.search.grammar import SearchSpec

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
                labelled(values)
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
                    check_excluded(self.matrix, axis, str(label))
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
                check_pretraining_seeds(listed, self.matrix, (values for _, values in self.cells))
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
    def matrix_cells(self) -> list[Cell]:
        """The cells of the matrix that are not excluded."""
        return list(matrix_cells(self.base, self.matrix, self.exclude))

    @property
    def cells(self) -> list[Cell]:
        """The cells of the matrix, then the included trials."""
        return [*self.matrix_cells, *included_cells(self.base, self.include)]

    @property
    def fixed_cells(self) -> list[Cell]:
        """The cells that are trials: in a study with a search, the included ones alone."""
        search = self.search is not None
        return list(included_cells(self.base, self.include)) if search else self.cells

    @property
    def levels(self) -> SeedLevels:
        """The seeds of both levels."""
        if isinstance(self.seeds, SeedLevels):
            return self.seeds
        return SeedLevels(adaptation=self.seeds)


def read_study(path: Path) -> StudySpec:
    """The study in a YAML file; raises BadInput, in one line, for any unknown key or value."""
    study, lines = read_record(StudySpec, path)
    study._lines = lines
    return study


def study_searches(study: StudySpec) -> tuple[Searched, ...]:
    """The searches of a study; none without a `search` section."""
    if study.search is None:
        return ()
    axes = {axis: list(labelled(values)) for axis, values in study.matrix.items()}
    return searches(study.search, [labels for labels, _ in study.matrix_cells], axes)


def _check_search(study: StudySpec, search: SearchSpec) -> None:
    """Raise BadInput for a search that this study cannot run."""
    matrix = {axis: labelled(values) for axis, values in study.matrix.items()}
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
