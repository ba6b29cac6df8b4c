"""Which stored configurations answer the paper's cells, and their numbers under one protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

from analysis.paper.beside import BesideModel, BesideRequest, beside_models
from analysis.paper.facts import FULL_SCHEDULE, ModelFacts, facts_of
from analysis.paper.items import (
    SIX,
    PaperCell,
    Wanted,
    WantedEnsemble,
    WantedFile,
    WantedModel,
    fine_tuned,
)
from analysis.results.pooled import pooled_evaluations
from analysis.results.results import Configuration, StudyResults
from analysis.wording import counted, listed, quoted
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.cores import usable_cores
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.ensembles.ensemble import PAPER_MODELS, combined, members_of
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.selection.replicates import Key, Replicated, replicated
from fairfm_core.evaluation.tables import Evaluation

COMBINE = "probability"
"""What an ensemble of Table 3 averages."""


@dataclass(frozen=True)
class PaperRequest:
    """What to show of the results, and which studies may answer."""

    studies: tuple[str, ...] = ()
    """Names; empty for all studies of the results folder."""
    use: tuple[str, ...] = ()
    """Labels of configurations that answer where several could."""
    protocol: str | None = None
    """None for the first protocol of the studies."""
    definition: str = "gap_of_mean"
    """The definition of a gap that is shown first, tested and drawn."""
    split: str = "test"
    beside: BesideRequest | None = None
    """Models of other programs that stand below the paper's rows."""


@dataclass(frozen=True, eq=False)
class PaperAnswer:
    """The model that answers a cell, with its numbers under one protocol."""

    label: str
    """Its configuration, or the members of an ensemble."""
    studies: tuple[str, ...]
    """Where it was found."""
    seeds: int
    evaluation: Evaluation
    """Seeds pooled; rows of the protocol alone."""
    numbers: Mapping[Key, Replicated]
    """Seed by seed, in every draw of patients."""
    members: tuple[PaperAnswer, ...] = ()
    """The single models of an ensemble."""


@dataclass(frozen=True, eq=False)
class _Found:
    """A configuration of a study that has a finished trial."""

    results: StudyResults
    configuration: Configuration
    facts: ModelFacts

    @property
    def name(self) -> str:
        return f"{self.results.study}/{self.configuration.label}"


class PaperAnswers:
    """The models of several studies in one results folder, found by what the paper asks for."""

    def __init__(self, studies: Sequence[StudyResults], request: PaperRequest) -> None:
        self.studies = tuple(studies)
        self.request = request
        self._answers: dict[str, PaperAnswer] = {}

    @cached_property
    def settings(self) -> EvaluationSettings:
        """How the studies evaluate; raises BadInput where they differ."""
        by_study = {each.study: each.settings for each in self.studies}
        (first, settings), *others = by_study.items()
        for name, other in others:
            if other != settings:
                raise BadInput(
                    f"studies {first} and {name} evaluate in different ways, so their numbers"
                    " cannot stand in one table; choose with --study, or give both the same"
                    " `evaluation`"
                )
        return settings

    @cached_property
    def protocol(self) -> str:
        """The protocol that is shown; raises BadInput for one that was not evaluated."""
        known = self.settings.protocols
        wanted = self.request.protocol or known[0]
        if wanted not in known:
            raise BadInput(
                f"protocol {wanted!r} was not evaluated: the studies have {listed(known)}; add it"
                " to evaluation.protocols and run them again, which repeats no training"
            )
        return wanted

    @cached_property
    def _found(self) -> tuple[_Found, ...]:
        configs = [
            {trial.name: trial.config for trial in results.stored.trials}
            for results in self.studies
        ]
        return tuple(
            _Found(results, each, facts_of(config[each.finished[0].name]))
            for results, config in zip(self.studies, configs, strict=True)
            for each in results.configurations
            if each.finished
        )

    @cached_property
    def longest(self) -> int | None:
        """Epochs of the longest masked pre-training on radiographs: the paper's 800."""
        own = [
            each.facts.epochs
            for each in self._found
            if each.facts.method == "masked" and each.facts.domain == "medical"
        ]
        return max((epochs for epochs in own if epochs is not None), default=None)

    @property
    def epochs_note(self) -> str | None:
        """How epochs were read as the paper's; None where they are the paper's."""
        if self.longest is None or self.longest == FULL_SCHEDULE:
            return None
        return (
            f"The longest pre-training here has {counted(self.longest, 'epoch')}; it stands for"
            f" the paper's {FULL_SCHEDULE}, and shorter ones for their share of it."
        )

    @cached_property
    def beside(self) -> Mapping[str, BesideModel]:
        """The models of other programs, by name, with the pathologies of the studies."""
        if self.request.beside is None:
            return {}
        first = next(
            (f.results.predictions(f.configuration.finished[0]) for f in self._found), None
        )
        pathologies = None if first is None else first.pathologies
        return beside_models(self.request.beside, self.settings, pathologies)

    @property
    def beside_cells(self) -> tuple[PaperCell, ...]:
        """The rows of the models of other programs."""
        return tuple(PaperCell(name, "", WantedFile(name)) for name in self.beside)

    def answer(self, wanted: Wanted) -> PaperAnswer | None:
        """The model, evaluated; None where it was not run.

        Raises BadInput where several different configurations could answer.
        """
        if isinstance(wanted, WantedEnsemble):
            return self._ensemble(wanted)
        if isinstance(wanted, WantedFile):
            return self._of_file(wanted.name)
        found = self._chosen(wanted)
        if found is None:
            return None
        self._evaluate([found])
        return self._answers[found.configuration.group]

    def prepare(self, wanted: Iterable[Wanted]) -> None:
        """Evaluate single models together, which takes less time than one after the other."""
        chosen = [self._chosen(each) for each in wanted if isinstance(each, WantedModel)]
        self._evaluate([each for each in chosen if each is not None])

    @property
    def evaluated(self) -> list[PaperAnswer]:
        """The answers that were given so far."""
        return list(self._answers.values())

    @cached_property
    def six(self) -> dict[str, PaperAnswer]:
        """The foundation models that were fine-tuned, by their names in the paper."""
        self.prepare(map(fine_tuned, SIX))
        answers = {name: self.answer(fine_tuned(name)) for name in SIX}
        return {name: answer for name, answer in answers.items() if answer is not None}

    def _chosen(self, wanted: WantedModel) -> _Found | None:
        matching = [each for each in self._found if wanted.is_met_by(each.facts, self.longest)]
        named = [each for each in matching if each.configuration.label in self.request.use]
        matching = named or matching
        by_group = {each.configuration.group: each for each in reversed(matching)}
        if len(by_group) > 1:
            first, second, *_ = reversed(by_group.values())
            raise BadInput(
                f"{first.name} and {second.name} could both be the model that the paper's cell"
                f" asks for; choose with --study {first.results.study} or --use"
                f" {quoted(first.configuration.label)}"
            )
        most = max(matching, key=lambda each: len(each.configuration.finished), default=None)
        return most

    def _evaluate(self, found: Iterable[_Found]) -> None:
        """Make the answers of models that have none yet, study by study."""
        by_study: dict[str, dict[str, _Found]] = {}
        for each in found:
            group = each.configuration.group
            if group not in self._answers:
                by_study.setdefault(each.results.study, {})[group] = each
        for models in by_study.values():
            results = next(iter(models.values())).results
            trials = [trial for each in models.values() for trial in each.configuration.trials]
            pooled = pooled_evaluations(replace(results, trials=tuple(trials)))
            for group, each in models.items():
                self._answers[group] = self._answer_of(each, pooled[group])

    def _answer_of(self, found: _Found, pooled: Evaluation) -> PaperAnswer:
        results, configuration = found.results, found.configuration
        seeds = [results.replicates(trial) for trial in configuration.finished]
        return PaperAnswer(
            configuration.label,
            tuple(
                e.results.study for e in self._found if e.configuration.group == configuration.group
            ),
            len(seeds),
            pooled.under(self.protocol),
            replicated(seeds, configuration.label, configuration.training_runs),
        )

    def _ensemble(self, wanted: WantedEnsemble) -> PaperAnswer | None:
        members = members_of(wanted.rule, PAPER_MODELS)
        chosen = {name: self._chosen(fine_tuned(name)) for name in members}
        found = [each for each in chosen.values() if each is not None]
        if len(found) < len(members):
            return None
        label = " + ".join(members)
        if label not in self._answers:
            self._answers[label] = self._averaged(label, found, members)
        return self._answers[label]

    def _averaged(self, label: str, found: Sequence[_Found], members: Sequence[str]) -> PaperAnswer:
        """The ensemble of these models, evaluated seed by seed and with its seeds pooled."""
        answers = tuple(self.six[name] for name in members)
        studies = tuple(dict.fromkeys(study for answer in answers for study in answer.studies))
        return replace(self._evaluated(label, _ensembles(found)), studies=studies, members=answers)

    def _of_file(self, name: str) -> PaperAnswer:
        """A model of another program, evaluated as the studies are."""
        if name not in self._answers:
            self._answers[name] = self._evaluated(name, self.beside[name].seeds)
        return self._answers[name]

    def _evaluated(self, label: str, seeds: Sequence[Predictions]) -> PaperAnswer:
        """Predictions that no study has evaluated: seed by seed, and with the seeds pooled."""
        from fairfm_core.evaluation.evaluate import evaluate_seeds  # loads numba

        settings = self.settings.model_copy(update={"metrics": ("auc",)})
        alone = [[seed] for seed in seeds]
        with ThreadPoolExecutor(usable_cores()) as threads:
            pooled, *each = threads.map(lambda s: evaluate_seeds(s, settings), [seeds, *alone])
        return PaperAnswer(
            label, (), len(seeds), pooled.under(self.protocol), replicated(each, label)
        )


def _ensembles(members: Sequence[_Found]) -> list[Predictions]:
    """One ensemble for each seed that all members have finished, the lowest with the lowest."""
    count = min(len(each.configuration.finished) for each in members)
    names = [each.configuration.label for each in members]
    return [
        combined(
            [each.results.predictions(each.configuration.finished[s]) for each in members],
            COMBINE,
            names,
        )
        for s in range(count)
    ]
