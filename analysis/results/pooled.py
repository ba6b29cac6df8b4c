"""Evaluations of configurations: all seeds of one together, on the same draws of patients."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
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
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.evaluation.tables import Evaluation, read_evaluation, write_evaluation
from fairfm_core.storage.inspection import Inspection
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
    stored = results.store.survey(KIND)
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
        return held_evaluation(results, "evaluate", trials[0].evaluate)
    key = pooled_key(trials, configuration.both_levels)
    if key in stored and stored[key].done:
        with suppress(Damaged):  # computed again
            return held_evaluation(results, KIND, key)
    return _pooled(results, configuration, key)


def _pooled(results: StudyResults, configuration: Configuration, key: str) -> Evaluation:
    from fairfm_core.evaluation.evaluate import evaluate_seeds  # loads numba

    trials = configuration.finished
    seeds = [results.predictions(trial) for trial in trials]
    with scratch_folder() as folder:
        pooled = evaluate_seeds(seeds, results.settings, configuration.training_runs)
        write_evaluation(pooled, folder)
        record = {"trials": [trial.name for trial in trials]}
        try:
            results.store.publish_folder(folder, KIND, key, record, time.time())
        except OSError:  # somebody else's folder may be read-only
            return read_evaluation(folder)
    return held_evaluation(results, KIND, key)


def held_evaluation(results: StudyResults, kind: str, fingerprint: str) -> Evaluation:
    """A stored evaluation: the rows that answers are made of, and its tables when they are needed.

    Raises Damaged for one that cannot be read.
    """
    source, table = results.source(kind, fingerprint), results.number_table
    held = table.find(source)
    if held is None:
        names = HELD if kind == "evaluate" else HELD[:2]  # nobody asks for draws of all seeds
        held = table.add(source, stored_evaluation(results.store, kind, fingerprint, names))
    tables = StoredTables(partial(results.evaluation, kind, fingerprint))
    names = [each.name for each in results.objectives]
    names += [each.name for each in results.stored.constraints]
    often = dict.fromkeys(["auc", *(number_named(name).metric.name for name in names)])
    return HeldEvaluation(tables, held, tuple(often))


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
