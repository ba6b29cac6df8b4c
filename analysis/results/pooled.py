"""Evaluations of configurations: all seeds of one together, on the same draws of patients."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Protocol

from analysis.results.held_evaluation import HeldEvaluation, StoredTables
from analysis.results.number_table import HELD
from analysis.results.results import Configuration, StudyResults
from analysis.results.training_runs import Trained, training_names
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.cores import usable_cores
from fairfm_core.errors import Damaged
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.stage import KEPT, stored_evaluation, write_stored
from fairfm_core.evaluation.tables import Evaluation
from fairfm_core.storage.inspection import Inspection
from fairfm_core.storage.scratch import scratch_folder

KIND = "pooled"
TABLES_OF_SEEDS = (*KEPT, "differences")
"""Tables that are stored of all seeds together; nobody asks for their draws."""


def pooled_evaluations(results: StudyResults) -> dict[str, Evaluation]:
    """The evaluation of each configuration with a finished trial, by the configuration's group.

    A value is the mean over the finished seeds; intervals and nulls draw the same patients for all
    seeds and configurations. Where the study lists seeds of pre-trainings too, intervals also cover
    the spread between training runs. Earlier results are read from the results folder.
    Configurations are evaluated on several threads: most of the work releases the interpreter lock.
    """
    finished = [each for each in results.configurations if each.finished]
    several = [each for each in finished if len(each.finished) > 1]
    keys = (pooled_key(each.finished, each.both_levels) for each in several)
    stored = results.store.inspect_some(KIND, keys)
    with ThreadPoolExecutor(usable_cores()) as threads:
        evaluations = threads.map(lambda each: _evaluation(results, each, stored), finished)
        pooled = {each.group: found for each, found in zip(finished, evaluations, strict=True)}
    results.number_table.save()
    return pooled


def _evaluation(
    results: StudyResults, configuration: Configuration, stored: Mapping[str, Inspection]
) -> Evaluation:
    trials = configuration.finished
    if len(trials) == 1:
        fingerprint = trials[0].evaluate
        read = partial(results.evaluation, "evaluate", fingerprint)
        return held_evaluation(results, "evaluate", fingerprint, read)
    key = pooled_key(trials, configuration.both_levels)
    if stored[key].done:
        if (marker := stored[key].marker) is not None:
            results.markers[key] = marker
        with suppress(Damaged):  # computed again
            read = partial(_read, results, configuration, key)
            return held_evaluation(results, KIND, key, read)
    return _pooled(results, configuration, key)


def _read(results: StudyResults, configuration: Configuration, key: str) -> Evaluation:
    """A stored evaluation with all its tables; what turns out to be damaged is computed again."""
    try:
        return results.evaluation(KIND, key)
    except Damaged:
        return _pooled(results, configuration, key)


def _pooled(results: StudyResults, configuration: Configuration, key: str) -> Evaluation:
    """Evaluate the seeds together and store the result."""
    from fairfm_core.evaluation.evaluate import evaluate_seeds  # loads numba

    trials = configuration.finished
    seeds = [results.predictions(trial) for trial in trials]
    with scratch_folder() as folder:
        pooled = evaluate_seeds(
            seeds, results.settings, configuration.training_runs, TABLES_OF_SEEDS
        )
        write_stored(pooled, folder, TABLES_OF_SEEDS)
        record = {"trials": [trial.name for trial in trials]}
        try:
            results.store.publish_folder(folder, KIND, key, record, time.time())
        except OSError:  # somebody else's folder may be read-only
            return pooled
    results.markers.pop(key, None)  # that of a damaged one
    return held_evaluation(results, KIND, key, partial(results.evaluation, KIND, key))


def held_evaluation(
    results: StudyResults, kind: str, fingerprint: str, read: Callable[[], Evaluation]
) -> Evaluation:
    """A stored evaluation: the rows that answers are made of, and its tables, by `read`, when they
    are needed.

    Raises Damaged for one that cannot be read.
    """
    source, table = results.source(kind, fingerprint), results.number_table
    held = table.find(source)
    if held is None:
        names = HELD if kind == "evaluate" else HELD[:2]
        held = table.add(source, stored_evaluation(results.store, kind, fingerprint, names))
    asked = [each.name for each in results.objectives]
    asked += [each.name for each in results.stored.constraints]
    often = dict.fromkeys(["auc", *(number_named(name).metric.name for name in asked)])
    return HeldEvaluation(StoredTables(read), held, tuple(often))


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
