"""A study's plan: its trials and the distinct stages that they need."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf
from typing import Any

from analysis.results.training_runs import StartingPoint, shared_pretrainings
from analysis.wording import counted
from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import PublishedWeights
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.trial import Trial
from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.data.manifest import Manifest
from fairfm_core.data.node_copy import absolute_place, manifest_of
from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.sources import located
from fairfm_core.stages import (
    PRETRAIN,
    TRUNK,
    FollowedNumbers,
    Stage,
    joined_trunks,
    pause_mark,
    stages_of,
)
from sweeps.planning.comparison import Comparison, comparison
from sweeps.planning.corpora import planned_corpus
from sweeps.planning.data_checks import asked_of_data, check_attributes, check_data, check_glocker
from sweeps.planning.expansion import StudyTrial, expand, followed_numbers, settled
from sweeps.planning.planned_trial import PlannedTrial, SmallerTraining
from sweeps.planning.records import PretrainingRecord
from sweeps.planning.seeds import SeedLevels
from sweeps.planning.study import StudySpec
from sweeps.search.asked import AskedConfiguration
from sweeps.search.halving import FidelityName, Key, Rung


@dataclass(frozen=True)
class StudyPlan:
    """What a study runs, known before anything starts."""

    spec: StudySpec
    trials: tuple[PlannedTrial, ...]
    data: dict[str, PreparedData]
    """Prepared data by the path in the study."""
    same: tuple[tuple[str, str], ...]
    """Pairs of names: a trial that does the same work as an earlier one, and the earlier one."""
    terms: Comparison
    """On what terms the trials are compared."""
    evaluations: Mapping[Key, tuple[str, ...]] = field(default_factory=dict)
    """Fingerprints of the evaluations of each configuration that a search has asked for."""
    pauses: Mapping[str, tuple[Rung, ...]] = field(default_factory=dict)
    """The rungs up to which training runs are wanted, in rising order, by fingerprint; all others
    are wanted whole."""

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Distinct stages by fingerprint, inputs before their consumers."""
        return joined_trunks(
            {s.fingerprint: s for trial in self.trials for s in self.stages_of(trial)}
        )

    @property
    def fidelity(self) -> FidelityName:
        """What a rung of the study's search is less of."""
        return "epochs" if self.spec.search is None else self.spec.search.fidelity

    def stages_of(self, trial: PlannedTrial) -> tuple[Stage, ...]:
        """A trial's stages, those of its smaller training runs up to its pause included."""
        pause = self.pause_of(trial)
        below = [each for rung, each in trial.smaller.items() if pause is None or rung <= pause]
        return (*(stage for each in below for stage in each.stages), *trial.stages)

    @property
    def trained(self) -> list[Trial]:
        """Every trial as it is trained: whole, and at the rungs of a search."""
        smaller = [each.trial for trial in self.trials for each in trial.smaller.values()]
        return [*(trial.trial for trial in self.trials), *smaller]

    @cached_property
    def pretrainings(self) -> list[PretrainingRecord]:
        """The study's distinct pre-trainings, as recorded and tracked."""
        first = {t.pretraining: t for t in self.trials if t.trial.pretraining is not None}
        return [_pretraining_record(trial) for trial in first.values()]

    @cached_property
    def seed_lines(self) -> list[str]:
        """How many trials the seeds of both levels make, and what shares one pre-training."""
        levels = self.spec.levels
        lines = []
        if levels.pretraining is not None:
            pairs = len(levels.pretraining) * len(levels.adaptation)
            lines.append(
                f"{counted(len(levels.pretraining), 'pre-training')} x "
                f"{counted(len(levels.adaptation), 'adaptation')} for each configuration with a "
                f"pre-training ({pairs} trials), {len(levels.adaptation)} trials for others; "
                "intervals cover the spread between training runs"
            )
        starts = (
            StartingPoint(trial.label, trial.pretraining, trial.trial.weights is not None)
            for trial in self.trials
        )
        return lines + shared_pretrainings(starts)

    def training_runs(self, key: Key) -> tuple[Stage, ...]:
        """The adaptations of a configuration that a search has asked for, one for each seed."""
        return tuple(trial.adapt for trial in self._trials_of(key))

    def rung_runs(self, key: Key, rung: Rung) -> tuple[Stage, ...]:
        """The training runs of a configuration up to a rung: smaller ones, or the whole ones that
        pause there."""
        trials = self._trials_of(key)
        return tuple(t.smaller[rung].adapt if t.smaller else t.adapt for t in trials)

    def _trials_of(self, key: Key) -> list[PlannedTrial]:
        return [self._by_evaluation[each] for each in self.evaluations[key]]

    @cached_property
    def _by_evaluation(self) -> dict[str, PlannedTrial]:
        return {trial.evaluate.fingerprint: trial for trial in self.trials}

    def pausing(self, until: Mapping[Key, Rung]) -> StudyPlan:
        """The plan in which these configurations train up to a rung, as far as nothing else wants
        their training runs whole."""
        wanted: dict[str, set[float]] = defaultdict(set)
        for trial in self.trials:
            if trial.asked is None:
                wanted[trial.adapt.fingerprint].add(inf)
        for key in self.evaluations:
            for stage in self.training_runs(key):
                wanted[stage.fingerprint].add(until.get(key, inf))
        pauses = {f: tuple(sorted(rungs)) for f, rungs in wanted.items() if inf not in rungs}
        return replace(self, pauses=pauses)

    def pause_of(self, trial: PlannedTrial) -> Rung | None:
        """The rung up to which a trial is trained; None where it is wanted whole."""
        return max(self.pauses.get(trial.adapt.fingerprint, ()), default=None)

    def is_stopped(self, trial: PlannedTrial, reached: Set[str]) -> bool:
        """Whether a trial has come to its pause, and nothing of it is to be run now.

        `reached` are finished stages and the marks of pauses.
        """
        pause, adapt = self.pause_of(trial), trial.adapt.fingerprint
        if pause is None or trial.is_done(reached):
            return False
        if trial.smaller:
            return all(each.fingerprint in reached for each in self._smaller_wanted(trial))
        return adapt in reached or pause_mark(adapt, int(pause)) in reached

    def _smaller_wanted(self, trial: PlannedTrial) -> list[Stage]:
        """The training runs at the rungs up to which a trial with such is wanted."""
        return [trial.smaller[rung].adapt for rung in self.pauses[trial.adapt.fingerprint]]

    def only(self, names: Iterable[str]) -> StudyPlan:
        """The plan with these trials alone."""
        kept = set(names)
        return replace(self, trials=tuple(t for t in self.trials if t.name in kept))

    def joined(self, other: StudyPlan) -> StudyPlan:
        """This plan and what was asked for since; of equal work the earlier trial stays."""
        trials = {trial.adapt.fingerprint: trial for trial in self.trials}
        same = [*self.same]
        for trial in other.trials:
            first = trials.setdefault(trial.adapt.fingerprint, trial)
            if first.name != trial.name:
                same.append((trial.name, first.name))
        keys = [*self.evaluations, *other.evaluations]
        evaluations = {
            key: self.evaluations.get(key, ()) + other.evaluations.get(key, ()) for key in keys
        }
        return replace(
            self,
            trials=tuple(trials.values()),
            data={**self.data, **other.data},
            same=tuple(dict.fromkeys([*same, *other.same])),
            terms=self.terms if self.trials else other.terms,
            evaluations=evaluations,
        )

    @property
    def data_places(self) -> list[str]:
        """Every folder or URI of prepared data that its stages read, each once."""
        corpora = [place for stage in self.stages.values() for place in stage.corpora]
        return list(dict.fromkeys([*map(absolute_place, self.data), *corpora]))

    def data_of(self, trial: PlannedTrial) -> PreparedData:
        """The prepared data of one of its trials."""
        return next(data for data in self.data.values() if data.digest == trial.adapt.digest)

    def missing(self, done: Set[str]) -> dict[str, Stage]:
        """The stages that unfinished trials still need, inputs before their consumers.

        `done` are the fingerprints of finished stages, with the marks of pauses. A trial is
        finished when its predictions and its evaluation are there; any other stage that was removed
        is not needed again. One that is to pause needs its training alone, up to there.
        """
        needed: set[str] = set()
        for trial in self.trials:
            if self.is_stopped(trial, done):
                continue
            wanted = [each.fingerprint for each in self._wanted(trial)]
            while wanted:
                fingerprint = wanted.pop()
                if fingerprint not in done and fingerprint not in needed:
                    needed.add(fingerprint)
                    wanted += self.stages[fingerprint].inputs.values()
        reached = done | needed
        return {f: self._to_run(stage, reached) for f, stage in self.stages.items() if f in needed}

    def _wanted(self, trial: PlannedTrial) -> list[Stage]:
        """The stages that an unfinished trial ends in."""
        if self.pause_of(trial) is None:
            return [trial.adapt, trial.evaluate]
        return self._smaller_wanted(trial) if trial.smaller else [trial.adapt]

    def _to_run(self, stage: Stage, reached: Set[str]) -> Stage:
        """The stage with its pause, if it has one, and what it goes on from, if that is reached."""
        rungs, continues = self.pauses.get(stage.fingerprint), stage.continues
        if continues is not None and continues.fingerprint not in reached:
            stage = replace(stage, continues=None)
        return stage if rungs is None else replace(stage, pause_after=int(max(rungs)))


def make_plan(study: StudySpec, asked: Sequence[AskedConfiguration] = ()) -> StudyPlan:
    """Expand the study on its prepared data; raises BadInput for a study that could not run.

    `asked` are the configurations that its search has asked for.
    """
    trials = expand(study, asked)
    if not trials and study.search is None:
        raise BadInput(f"study {study.study} has no trial left: exclude removes all of them")
    data = {
        path: open_dataset(absolute_place(path))
        for path in dict.fromkeys(trial.trial.data.dataset for trial in trials)
    }
    for prepared in data.values():
        check_attributes(study, prepared)
    sources, followed = _sources(trials), followed_numbers(study)
    planned: dict[str, PlannedTrial] = {}
    same: list[tuple[str, str]] = []
    evaluations: dict[Key, tuple[str, ...]] = {}
    checked: set[str] = set()
    for trial in trials:
        prepared = data[trial.trial.data.dataset]
        for asked_of in (trial.trial, *_smaller_trials(trial.trial, trial.asked, study).values()):
            if (question := asked_of_data(asked_of)) not in checked:
                check_data(asked_of, prepared, study.evaluation.age_edges)
                checked.add(question)
        weights = sources.get(_key(trial.trial.weights))
        one = _planned(trial, weights, data[trial.trial.data.dataset], study, followed)
        first = planned.setdefault(one.adapt.fingerprint, one)
        if first is not one:
            same.append((one.name, first.name))
        if trial.asked is not None:
            before = evaluations.get(trial.asked.key, ())
            evaluations[trial.asked.key] = (*before, one.evaluate.fingerprint)
    _check_names(planned)
    terms = comparison(study, trials, _stores(trials, data), settled(study).notes)
    return StudyPlan(study, tuple(planned.values()), data, tuple(same), terms, evaluations)


def _stores(trials: list[StudyTrial], data: dict[str, PreparedData]) -> dict[str, Manifest]:
    """The manifests of the trials' data and corpora by their paths in the study."""
    manifests = {path: prepared.manifest for path, prepared in data.items()}
    before = (trial.trial.pretraining for trial in trials)
    corpora = dict.fromkeys(path for recipe in before if recipe for path in recipe.corpora)
    return {path: manifest_of(absolute_place(path)) for path in corpora} | manifests


def _pretraining_record(trial: PlannedTrial) -> PretrainingRecord:
    whole = next(stage for stage in trial.stages if stage.kind == PRETRAIN)
    config = trial.trial.without_places().model_dump(mode="json")
    recipe = config["pretraining"]
    share = "" if recipe["fraction"] == 1 else f".{recipe['fraction']:.0%}"
    name = f"pretrain.{recipe['method']}.{'+'.join(recipe['corpora'])}{share}.{recipe['epochs']}e"
    trunk = whole.inputs.get(TRUNK)
    name += "" if trunk is None else f".{TRUNK}"
    name += "" if trial.pretraining_seed is None else f".p{trial.pretraining_seed}"
    recipe = {**recipe, "backbone": config["backbone"]}
    return PretrainingRecord(name, whole.fingerprint, recipe, trunk)


def _sources(trials: list[StudyTrial]) -> dict[str, PublishedWeights]:
    """The distinct published weights as found on disk; each file is read only once."""
    named = {_key(t.trial.weights): t.trial.weights for t in trials if t.trial.weights is not None}
    return {key: located(weights) for key, weights in named.items()}


def _key(weights: PublishedWeights | None) -> str:
    return "" if weights is None else weights.model_dump_json()


def _planned(
    trial: StudyTrial,
    weights: PublishedWeights | None,
    data: PreparedData,
    study: StudySpec,
    followed: FollowedNumbers,
) -> PlannedTrial:
    absolute = trial.trial.data.model_copy(update={"dataset": data.place})
    resolved = trial.trial.model_copy(update={"data": absolute, "weights": weights})
    if resolved.pretraining is not None:
        resolved = resolved.model_copy(update={"pretraining": planned_corpus(resolved)})
    if "glocker" in study.evaluation.protocols:
        check_glocker(resolved, data)
    stages = stages_of(resolved, data.digest, data.pathologies, study.evaluation, followed)
    first = _first_pretraining(resolved, study.levels)
    smaller = {
        rung: SmallerTraining(
            each,
            tuple(stages_of(each, data.digest, data.pathologies, study.evaluation, followed))[:-1],
        )
        for rung, each in _smaller_trials(resolved, trial.asked, study).items()
    }
    seed = trial.pretraining_seed
    return PlannedTrial(
        trial.name, trial.axes, resolved, tuple(stages), seed, first, trial.asked, smaller
    )


def _smaller_trials(
    trial: Trial, asked: AskedConfiguration | None, study: StudySpec
) -> dict[Rung, Trial]:
    """A fine-tuning of a search at each of its rungs, where each is a training of its own."""
    halving = None if study.search is None or asked is None else study.search.halving
    if halving is None or halving.record.continues or not isinstance(trial.adaptation, EndToEnd):
        return {}
    fidelity = halving.record
    rungs = halving.rungs_below(fidelity.of(trial))
    return {rung: fidelity.reduced(trial, rung) for rung in rungs}


def _first_pretraining(trial: Trial, levels: SeedLevels) -> Pretraining | None:
    """The trial's pre-training at the first listed seed of pre-trainings; None without such."""
    if trial.pretraining is None or levels.pretraining is None:
        return None
    first = trial.pretraining.model_copy(update={"seed": levels.pretraining[0]})
    return planned_corpus(trial.model_copy(update={"pretraining": first}))


def _check_names(planned: dict[str, PlannedTrial]) -> None:
    names = Counter(trial.name for trial in planned.values())
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise BadInput(f"two different trials are named {repeated[0]!r}; label their values")


def study_record(plan: StudyPlan, code_version: str) -> dict[str, Any]:
    """The content of `study.json`, from which analysis reads trials, axes and fingerprints."""
    return {
        "study": plan.spec.study,
        "claim": plan.spec.claim,
        "spec": plan.spec.model_dump(mode="json"),
        "spec_sha": fingerprint(plan.spec.model_dump(mode="json")),
        "code_version": code_version,
        "axes": list(plan.spec.matrix),
        "comparison": plan.terms.as_json(),
        "data": {
            d.digest: {"folder": d.folder.name, "kind": d.manifest.kind} for d in plan.data.values()
        },
        "pretrainings": [record.as_json() for record in plan.pretrainings],
        "trials": [_trial_json(plan, trial) for trial in plan.trials],
    }


def _trial_json(plan: StudyPlan, trial: PlannedTrial) -> dict[str, Any]:
    """The record of a trial; one that a search has paused says where."""
    values, rung = trial.record.as_json(), plan.pause_of(trial)
    if rung is None:
        return values
    place = {"until": rung, "fidelity": plan.fidelity}
    return {**values, "search": {**values["search"], **place}}
