"""A model card (Mitchell et al. 2019): what a model is, of whom, how it does in each group, limits.

Everything in it is read from a study's files; the intended use is the author's to write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.cohort.study_cohort import study_cohorts
from analysis.front.study_analysis import StudyAnalysis
from analysis.results.results import Configuration, StudyResults, TrialResult
from analysis.results.study_record import StoredStudy, StoredTrial
from analysis.study_facts.facts import fact
from analysis.study_facts.limits import Evidence, study_limits
from fairfm_core.config.zoo import ZOO
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.summary import WORST
from fairfm_core.evaluation.tables import Evaluation, Row

SPLIT = "test"
YOURS = "to be written by the author"
USE = (
    "intended use",
    "users",
    "uses that are out of scope",
    "ethical considerations",
    "contact",
)
"""What only the author knows."""
MODEL_FACTS = ("outcomes", "architecture", "initialisation", "training", "fairness", "software")
DATA_FACTS = ("sources", "flow", "partitions", "label_source", "label_policy", "missing", "terms")
METHOD_FACTS = ("metrics", "uncertainty", "robustness", "selection")
ENDS = ("value", "lo", "hi")


@dataclass(frozen=True, eq=False)
class CardModel:
    """The model that a card describes."""

    name: str
    """Of the trial, or the configuration in words."""
    label: str
    why: str
    trials: tuple[TrialResult, ...]
    evaluation: Evaluation


def card_model(analysis: StudyAnalysis, name: str | None) -> CardModel:
    """The trial or configuration with this name, or the most accurate on the front.

    Raises BadInput for an unknown name, an unfinished model, and where there is no front.
    """
    configurations = analysis.results.configurations
    if name is None:
        if not analysis.front.members:
            raise BadInput("the study has no front: an objective is undefined; choose with --trial")
        label = analysis.front.members[0]["label"]
        (chosen,) = (each for each in configurations if each.label == label)
        return _of(chosen, analysis, "the most accurate on the front, by validation AUC")
    for each in configurations:
        if each.label == name:
            return _of(each, analysis, "as chosen with --trial")
        for trial in each.trials:
            if trial.name == name:
                return _of_trial(trial, analysis)
    known = [each.label for each in configurations]
    known += [trial.name for each in configurations for trial in each.trials]
    raise BadInput(
        f"no trial or configuration {name!r} in study {analysis.results.study!r}"
        f"{did_you_mean(name, known)}; `fairfm pareto` lists the configurations"
    )


def _of(configuration: Configuration, analysis: StudyAnalysis, why: str) -> CardModel:
    if configuration.group not in analysis.evaluations:
        raise _unfinished(configuration.label)
    evaluation = analysis.evaluations[configuration.group]
    words = analysis.front.named(configuration.label)
    return CardModel(words, configuration.label, why, configuration.finished, evaluation)


def _of_trial(trial: TrialResult, analysis: StudyAnalysis) -> CardModel:
    if not trial.done:
        raise _unfinished(trial.name)
    evaluation = analysis.results.evaluation("evaluate", trial.evaluate)
    return CardModel(trial.name, trial.name, "as chosen with --trial", (trial,), evaluation)


def _unfinished(name: str) -> BadInput:
    return BadInput(f"{name} is not finished; run its study again with `fairfm sweep run`")


def model_card(analysis: StudyAnalysis, model: CardModel) -> dict[str, Any]:
    """The card as JSON values: texts, and numbers as fractions."""
    results = analysis.results
    names = {trial.name for trial in model.trials}
    stored = [trial for trial in results.stored.trials if trial.name in names]
    own = results.stored.model_copy(update={"trials": stored})
    digests = {trial.digest for trial in model.trials}
    cohorts = [each for each in study_cohorts(results) if each.digest in digests]
    whole = Evidence(results, analysis.evaluations, analysis.front, cohorts)
    alone = Evidence(_with_record(results, own), {"": model.evaluation}, analysis.front, cohorts)
    return {
        "card": "fairfm model card",
        "model": {
            "name": model.name,
            "label": model.label,
            "study": results.study,
            "chosen": model.why,
            "seeds": [trial.seeds for trial in model.trials],
            **_told(MODEL_FACTS, alone),
            "licences": _licences(stored),
            "trainings": {trial.name: f"adapt/{trial.adapt}" for trial in model.trials},
        },
        "author": dict.fromkeys(USE, YOURS),
        "data": _told(DATA_FACTS, whole),
        "evaluation": {
            "split": SPLIT,
            "protocol": results.settings.protocols[0],
            "numbers": "fractions; lo and hi are the interval, null values that of a fair model",
            **_told(METHOD_FACTS, whole),
            "overall": list(_overall(model.evaluation)),
            "by_group": list(_by_group(model.evaluation)),
            "gaps": list(_gaps(model.evaluation)),
        },
        "limits": {limit.title: list(limit.sentences) for limit in study_limits(whole)},
        "provenance": {
            "code": results.stored.code_version,
            "specification": results.stored.spec_sha,
            "data": sorted(digests),
        },
    }


def _with_record(results: StudyResults, stored: StoredStudy) -> StudyResults:
    """The study with the trials of this record alone."""
    names = {trial.name for trial in stored.trials}
    trials = tuple(trial for trial in results.trials if trial.name in names)
    return replace(results, stored=stored, trials=trials)


def _told(names: Sequence[str], evidence: Evidence) -> dict[str, str]:
    found = {name: fact(name, evidence) for name in names}
    return {name: each.text for name, each in found.items() if each is not None}


def _licences(trials: Sequence[StoredTrial]) -> dict[str, str]:
    """The licence of each published model that the weights come from."""
    weights = [trial.config.get("weights") for trial in trials]
    models = {str(each["model"]) for each in weights if isinstance(each, dict)}
    return {
        name: ZOO[name].licence if name in ZOO else "not known to fairfm" for name in sorted(models)
    }


def _overall(evaluation: Evaluation) -> Iterator[Row]:
    """The AUC of everybody: the mean over pathologies, then each."""
    rows = evaluation.rows("metrics", SPLIT, attribute=["overall"], metric=["auc"])
    yield from (_number(row, "pathology") for row in sorted(rows, key=_mean_first))


def _mean_first(row: Row) -> bool:
    return bool(row["pathology"] != "mean")


def _by_group(evaluation: Evaluation) -> Iterator[Row]:
    """The mean of every metric over pathologies in each group."""
    for row in evaluation.rows("metrics", SPLIT, pathology=["mean"]):
        if row["attribute"] != "overall" and not str(row["metric"]).startswith(WORST):
            yield _number(row, "attribute", "group", "metric")


def _number(row: Row, *names: str) -> Row:
    held = (*names, *ENDS, "n", "n_patients", "reason")
    return {name: row[name] for name in held}


def _gaps(evaluation: Evaluation) -> Iterator[Row]:
    names = ("attribute", "metric", "definition", *ENDS, "bias_corrected", "null_mean", "null_hi")
    for row in evaluation.rows("gaps", SPLIT):
        yield {n: row[n] for n in (*names, "p_value", "worst_group", "best_group", "reason")}
