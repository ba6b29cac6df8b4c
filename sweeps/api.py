"""Studies from Python: what `fairfm sweep` and `fairfm pareto` do, with data frames as results.

`Study` is the whole interface; docs/examples/facade.py shows it in use.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.front.study_analysis import analyse_study
from analysis.results.results import StudyResults, TrialResult, open_results
from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from sweeps.execution.runner import RunOutcome, run_study
from sweeps.planning.study import StudySpec, read_study
from sweeps.status.status import StudyStatus, study_cost, study_status

__all__ = ["Study"]


@dataclass(frozen=True)
class Study:
    """A study and the results folder that it is run into.

    >>> study = Study.read("study.yaml", results="results")
    >>> print(study.plan().plan_text())  # doctest: +ELLIPSIS
    study first: 2 trials
      done       probe.s0
      done       tune.s0
    images:
    ...
    >>> study.run()
    <RunOutcome first: 2 of 2 trials done>
    >>> study.status()
    <StudyStatus first: 2 of 2 done, 0 failed>
    >>> aucs = study.metrics().query("split == 'test' and metric == 'auc'")
    >>> gaps = aucs[aucs["definition"] == "gap_of_mean"]
    >>> list(zip(gaps["trial"], gaps["attribute"]))
    [('probe.s0', 'sex'), ('tune.s0', 'sex')]
    >>> sorted(study.front()["label"])
    ['probe', 'tune']
    """

    spec: StudySpec
    """The content of the YAML file, checked and with its defaults."""
    results: str
    """Folder or URI (`s3://bucket/prefix`) of all artifacts; several studies may share it."""

    @classmethod
    def read(cls, path: str | Path, results: str | Path = "results") -> Study:
        """The study in a YAML file; paths in it are relative to the working directory.

        Raises BadInput, in one line, for a key or value that is not known.
        """
        return cls(read_study(Path(path)), str(results))

    def plan(self) -> StudyStatus:
        """What would run and what it costs, as `fairfm sweep plan` shows it; starts nothing.

        `plan_text()` of the result is that text. Builds every network, without allocating memory;
        raises BadInput for a study that could not run.
        """
        return study_cost(self.spec, open_store(self.results))

    def run(self, address: str | None = None, cpus: int | None = None) -> RunOutcome:
        """Run the study, or resume it, and print its progress; finished stages are never repeated.

        `address` is a Ray cluster; None means this machine, of which `cpus` cores are used (None:
        those that the process may use). A failing trial does not stop the others: its reason is in
        `failures` of the result. Raises BadInput for a study that could not run.
        """
        return run_study(self.spec, self.results, address, cpus)

    def status(self) -> StudyStatus:
        """Which trials are done, half done, failed or to do: `states` of the result, by name."""
        return study_status(self.spec, open_store(self.results))

    def metrics(self) -> pd.DataFrame:
        """Every metric and every gap of every finished trial, one row each.

        A row is identified by `trial`, `protocol`, `split`, `metric`, and for a metric by
        `pathology`, `attribute` and `group` (`mean` over pathologies, `overall` for everybody), for
        a gap by `attribute` and `definition`, which is null for metrics. Columns named after the
        study's axes, and `seed` (with `pretraining_seed` where the study lists seeds of both), say
        what the trial is. `value` and its interval `lo`, `hi` are
        fractions; an undefined value is null and has a `reason`. Gaps also have their null
        (`null_mean`, `null_hi`, `p_value`) and `excess` over it; docs/metrics.md defines them all.

        Raises BadInput before the first trial is finished. Warns of trials that are left out
        because their stored results are damaged.
        """
        results = open_results(self.results, self.spec.study)
        for trial, damage in results.left_out.items():
            warnings.warn(f"left out: {trial}: {damage}", stacklevel=2)
        finished = [trial for trial in results.trials if trial.done]
        if not finished:
            raise BadInput(f"study {self.spec.study!r} in {self.results} has no finished trial")
        return pd.concat([_tidy(results, trial) for trial in finished], ignore_index=True)

    def front(self) -> pd.DataFrame:
        """One row for each configuration (trials that differ in their seed alone), front first.

        `on_front` says whether no other configuration beats it in every objective on validation.
        Columns `val_*` and `test_*` hold its numbers, means over its seeds, as fractions with their
        intervals; `test_p_front` is the probability of a place on the test front.

        Raises BadInput before the first trial is finished.
        """
        return analyse_study(self.results, self.spec.study).front.table


def _tidy(results: StudyResults, trial: TrialResult) -> pd.DataFrame:
    """The metrics and gaps of one trial, behind the columns that say which one it is."""
    evaluation = results.evaluation("evaluate", trial.evaluate)
    rows = pd.concat([evaluation.metrics, evaluation.gaps], ignore_index=True)
    axes = {axis: trial.axes.get(axis) for axis in results.axes}
    levels = {"pretraining_seed": trial.pretraining_seed} if results.stored.both_levels else {}
    seeds = levels | {"seed": trial.seed}
    keys = pd.DataFrame({"trial": trial.name, **axes, **seeds}, index=rows.index)
    return pd.concat([keys, rows], axis="columns")
