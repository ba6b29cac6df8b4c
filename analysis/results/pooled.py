"""Evaluations of configurations: all seeds of one together, on the same draws of patients."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from analysis.results.results import Configuration, StudyResults
from analysis.results.training_runs import Trained, training_names
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.cores import usable_cores
from fairfm_core.errors import Damaged
from fairfm_core.evaluation.tables import Evaluation, read_evaluation, write_evaluation
from fairfm_core.storage.scratch import scratch_folder

KIND = "pooled"


def pooled_evaluations(results: StudyResults) -> dict[str, Evaluation]:
    """The evaluation of each configuration with a finished trial, by the configuration's group.

    A value is the mean over the finished seeds; intervals and nulls draw the same patients for all
    seeds and configurations. Where the study lists seeds of pre-trainings too, intervals also cover
    the spread between training runs. Earlier results are read from the results folder.
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
    key = pooled_key(trials, configuration.both_levels)
    if results.store.is_done(KIND, key):
        try:
            return results.evaluation(KIND, key)
        except Damaged:
            pass  # computed again
    from fairfm_core.evaluation.evaluate import evaluate_seeds  # loads numba

    seeds = [results.predictions(trial) for trial in trials]
    with scratch_folder() as folder:
        pooled = evaluate_seeds(seeds, results.settings, configuration.training_runs)
        write_evaluation(pooled, folder)
        record = {"trials": [trial.name for trial in trials]}
        with suppress(OSError):  # somebody else's folder may be read-only
            results.store.publish_folder(folder, KIND, key, record, time.time())
        return read_evaluation(folder)


class Evaluated(Trained, Protocol):
    """A trial with the fingerprint of its evaluation."""

    @property
    def evaluate(self) -> str:
        """Covers the settings, the predictions and the code's revision."""
        ...


def pooled_key(trials: Sequence[Evaluated], both_levels: bool) -> str:
    """The identity of the pooled evaluation of a configuration's finished trials.

    It depends on their evaluations and, where intervals cover the spread between training runs, on
    which of them are independent.
    """
    names = training_names(trials, both_levels)
    if names is None:
        return fingerprint([KIND, sorted(trial.evaluate for trial in trials)])
    pairs = [(trial.evaluate, name) for trial, name in zip(trials, names, strict=True)]
    return fingerprint([KIND, [list(pair) for pair in sorted(pairs)]])
