"""The model of the figures of one model: a trial or configuration by name, or the front's best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from analysis.figures.subgroups import DISEASES, FEWEST
from analysis.front.front import Front, configuration_front
from analysis.paper.answers import PaperAnswers
from analysis.paper.reading import DEMO, is_demo
from analysis.results.pooled import pooled_evaluations
from analysis.results.results import Configuration, StudyResults, TrialResult
from analysis.wording import counted, listed, quoted
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.named_records import known_name
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns
from fairfm_core.evaluation.tables import Evaluation

if TYPE_CHECKING:
    from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame

METRICS = ("auc", "rates")
"""What is evaluated of the model, whatever its study asked for."""
MOST_PANELS = 5


@dataclass(frozen=True, eq=False)
class ModelTrials:
    """Which trials are drawn, and why these."""

    name: str
    """Of the trial, or of the configuration."""
    why: str
    results: StudyResults
    trials: tuple[TrialResult, ...]
    training_runs: TrainingRuns | None = None


@dataclass(frozen=True, eq=False)
class ChosenModel:
    """A model with what its figures are made of: one split under one protocol."""

    source: ModelTrials
    problem: Problem
    protocol: str
    demo: bool

    @property
    def name(self) -> str:
        """Of the trial, or of the configuration."""
        return self.source.name

    @property
    def fewest(self) -> int:
        """Fewest positives, and fewest negatives, of a cell that is drawn."""
        return max(FEWEST, self.problem.settings.min_cases)

    @cached_property
    def frames(self) -> list[MetricFrame]:
        """Everybody, then the groups of each attribute: values, draws and nulls."""
        from fairfm_core.evaluation.disaggregated.split_rows import (  # loads numba
            design_of,
            metric_frames,
        )

        frames = metric_frames(self.problem, design_of(self.problem.weighting, self.settings))
        return [replace(each, training_runs=self.source.training_runs) for each in frames]

    @property
    def settings(self) -> EvaluationSettings:
        """How it is evaluated."""
        return self.problem.settings

    def shown(self, asked: Sequence[str]) -> list[str]:
        """The pathologies that have a panel; raises BadInput for an unknown one."""
        held = self.problem.sample.pathologies
        if asked:
            return [known_name(name, held, "pathology") for name in dict.fromkeys(asked)]
        return [name for name in DISEASES if name in held] or list(held[:MOST_PANELS])

    def caption(self) -> Iterator[str]:
        """One sentence for each thing to know of any of its figures."""
        if self.demo:
            yield f"Note: {DEMO}."
        sample, settings = self.problem.sample, self.settings
        yield (
            f"Model: {quoted(self.name, 60)} of study {self.source.results.study}"
            f" ({counted(len(self.source.trials), 'seed')}), {self.source.why}."
        )
        draws = (
            f"intervals: {100 * settings.confidence:g} %, {settings.replicates} draws of"
            f" {settings.resampling}"
        )
        means = " Numbers are means over seeds." if len(self.source.trials) > 1 else ""
        yield (
            f"Split {sample.split}, protocol {self.protocol}, {len(sample.patient_ids):,} patients,"
            f" {len(sample.frame):,} images; {draws}.{means}"
        )

    def panels_note(self, shown: Sequence[str]) -> Iterator[str]:
        """Which pathologies are left out, if any."""
        held = len(self.problem.sample.pathologies)
        if len(shown) < held:
            yield f"{len(shown)} of {held} pathologies; choose others with --pathology."


@dataclass(frozen=True, eq=False)
class StudyModels:
    """A study with its configurations' pooled evaluations, by group, and their front."""

    results: StudyResults
    evaluations: Mapping[str, Evaluation]
    front: Front


@lru_cache(maxsize=1)
def study_models(answers: PaperAnswers) -> tuple[StudyModels, ...]:
    """Every study that has a finished trial; raises BadInput where none has."""
    models = []
    for results in answers.studies:
        if evaluations := pooled_evaluations(results):
            front = configuration_front(
                results.configurations,
                evaluations,
                results.objectives,
                results.axes,
                constraints=results.stored.constraints,
            )
            models.append(StudyModels(results, evaluations, front))
    if not models:
        names = listed([each.study for each in answers.studies])
        raise BadInput(f"no trial of {names} is finished; run the study with `fairfm sweep run`")
    return tuple(models)


@lru_cache(maxsize=1)
def chosen_model(answers: PaperAnswers, trial: str | None) -> ChosenModel:
    """The model with this name, or the most accurate one on the fronts of the studies.

    Raises BadInput for a name that is unknown, unfinished, or of different models in two studies.
    """
    from fairfm_core.evaluation.evaluate import split_problem  # loads numba

    source = source_of(answers, trial)
    seeds = [source.results.predictions(each) for each in source.trials]
    changes = {"metrics": METRICS, "protocols": (answers.protocol,)}
    settings = answers.settings.model_copy(update=changes)
    problem = split_problem(seeds, answers.request.split, answers.protocol, settings)
    return ChosenModel(source, problem, answers.protocol, is_demo(answers))


def source_of(answers: PaperAnswers, trial: str | None) -> ModelTrials:
    """The trials of `trial`, or of the most accurate member of the front; BadInput as above."""
    if trial is None:
        return _most_accurate(answers)
    return named_model(answers, trial, "as chosen with --trial")


def _most_accurate(answers: PaperAnswers) -> ModelTrials:
    """The member of a front with the highest validation AUC; members are sorted by it."""
    best = [(each.front.members[0], each) for each in study_models(answers) if each.front.members]
    if not best:
        raise BadInput("no study has a front: an objective is undefined; choose with --trial")
    row, study = max(best, key=lambda pair: -1.0 if (v := pair[0]["val_auc"]) is None else v)
    (configuration,) = (each for each in study.results.configurations if each.group == row["group"])
    why = "the most accurate on the front, by validation AUC; choose another with --trial"
    return all_seeds(study.results, configuration, why)


def all_seeds(results: StudyResults, configuration: Configuration, why: str) -> ModelTrials:
    """A configuration with all its finished trials."""
    trials, runs = configuration.finished, configuration.training_runs
    return ModelTrials(configuration.label, why, results, trials, runs)


def named_model(answers: PaperAnswers, name: str, why: str) -> ModelTrials:
    """The trial or configuration of this name, and why it; raises BadInput as `chosen_model`."""
    found = [model for results in answers.studies for model in _matching(results, name, why)]
    if not found:
        every = [each for results in answers.studies for each in results.configurations]
        known = [each.label for each in every] + [t.name for each in every for t in each.trials]
        raise BadInput(
            f"no trial or configuration {name!r}{did_you_mean(name, known)}; `fairfm pareto`"
            " lists the configurations"
        )
    finished = [model for model in found if model.trials]
    if not finished:
        raise BadInput(f"{name} is not finished; run its study again with `fairfm sweep run`")
    if len({tuple(each.evaluate for each in model.trials) for model in finished}) > 1:
        names = listed([model.results.study for model in finished], "or")
        raise BadInput(f"{name} names different models in {names}; choose with --study")
    return finished[0]


def _matching(results: StudyResults, name: str, why: str) -> Iterator[ModelTrials]:
    """The configuration with this label, and the trial with this name; unfinished: no trials."""
    for configuration in results.configurations:
        if configuration.label == name:
            yield all_seeds(results, configuration, why)
        for trial in configuration.trials:
            if trial.name == name:
                yield ModelTrials(name, why, results, (trial,) if trial.done else ())
