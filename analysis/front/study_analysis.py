"""A study's results, evaluated: what its front, its figure and its report are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.front.front import Front, study_front
from analysis.results.output_files import write_output
from analysis.results.pooled import pooled_evaluations
from analysis.results.replicates import StudyNumbers, study_numbers
from analysis.results.results import StudyResults, open_results
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.summary import summary_rows
from fairfm_core.evaluation.tables import Evaluation


@dataclass(frozen=True, eq=False)
class StudyAnalysis:
    """A study's results with the evaluations of its configurations and their front."""

    results: StudyResults
    evaluations: dict[str, Evaluation]
    """By the configuration's group; seeds pooled."""
    numbers: StudyNumbers
    front: Front

    def write(self, content: bytes, name: str, out: str | Path | None = None) -> str:
        """As `write_output`."""
        return write_output(self.results.store, self.results.study, content, name, out)


def analyse_study(location: str, study: str | None = None) -> StudyAnalysis:
    """Evaluate the configurations of a study.

    Raises BadInput if no trial is finished, or if no stored evaluation has an objective's metric.
    """
    results = open_results(location, study)
    evaluations = pooled_evaluations(results)
    if not evaluations:
        failed = [trial for trial in results.unfinished if trial.failure]
        first = sorted(failed, key=lambda trial: not trial.damaged)[:1]
        why = "".join(f" ({trial.name}: {trial.failure})" for trial in first)
        raise BadInput(f"study {results.study!r} in {location} has no finished trial{why}")
    _check_evaluated(results, evaluations)
    numbers = study_numbers(results, results.number_table.names)
    return StudyAnalysis(results, evaluations, numbers, study_front(results, evaluations, numbers))


def _check_evaluated(results: StudyResults, evaluations: Mapping[str, Evaluation]) -> None:
    """Raise BadInput for an objective of which no evaluation has a row, not even an undefined one.

    A metric of one label has no row in data without that label.
    """
    names = [each.name for each in results.objectives if each.number.metric.only is None]
    lacking = names
    for each in evaluations.values():  # the first will do, unless its data lack a label
        if not lacking:
            break
        held = summary_rows(each, "val", lacking)
        lacking = [name for name in lacking if name not in held]
    if lacking := [f"val/{name}" for name in lacking]:
        raise BadInput(
            f"no stored evaluation of study {results.study!r} has {', '.join(lacking)}: they were "
            "made before this metric was added; run the study again with `fairfm sweep run STUDY`, "
            "which evaluates anew and repeats no training"
        )
