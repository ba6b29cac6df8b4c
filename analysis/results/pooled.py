"""Evaluations of configurations: all seeds of one together, on the same draws of patients."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from analysis.results.results import Configuration, StudyResults
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.cores import usable_cores
from fairfm_core.evaluation.evaluate import evaluate_seeds
from fairfm_core.evaluation.tables import Evaluation, write_evaluation

KIND = "pooled"


def pooled_evaluations(results: StudyResults) -> dict[str, Evaluation]:
    """The evaluation of each configuration with a finished trial, by the configuration's group.

    A value is the mean over the finished seeds; intervals and nulls draw the same patients for all
    seeds and configurations. Earlier results are read from the results folder.
    Configurations are evaluated on several threads: most of the work releases the interpreter lock.
    """
    finished = [each for each in results.configurations if each.finished]
    with ThreadPoolExecutor(usable_cores()) as threads:
        evaluations = threads.map(lambda each: _pooled(results, each), finished)
        return {each.group: pooled for each, pooled in zip(finished, evaluations, strict=True)}


def _pooled(results: StudyResults, configuration: Configuration) -> Evaluation:
    trials = configuration.finished
    if len(trials) == 1:
        return results.evaluation("evaluate", trials[0].evaluate)
    # An evaluation's fingerprint covers its settings, its predictions and the code's revision.
    key = fingerprint([KIND, sorted(trial.evaluate for trial in trials)])
    if not results.store.is_done(KIND, key):
        seeds = [results.predictions(trial) for trial in trials]
        evaluation = evaluate_seeds(seeds, results.settings)
        record = {"trials": [trial.name for trial in trials]}
        with results.store.publish(KIND, key, record) as folder:
            write_evaluation(evaluation, folder)
    return results.evaluation(KIND, key)
