"""A study's results, evaluated: what its front, its figure and its report are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.front.front import Front, study_front
from analysis.results.pooled import pooled_evaluations
from analysis.results.replicates import StudyNumbers, study_numbers
from analysis.results.results import StudyResults, open_results
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.tables import Evaluation
from fairfm_core.storage.durable import write_durably


@dataclass(frozen=True, eq=False)
class StudyAnalysis:
    """A study's results with the evaluations of its configurations and their front."""

    results: StudyResults
    evaluations: dict[str, Evaluation]
    """By the configuration's group; seeds pooled."""
    numbers: StudyNumbers
    front: Front

    def write(self, content: bytes, name: str, out: Path | None = None) -> str:
        """Write a file into the folder `out`, else the study's; returns its path or URI.

        Raises BadInput where that cannot be written.
        """
        try:
            if out is not None:
                write_durably(out / name, content)
                return str(out / name)
            place = ("studies", self.results.study, name)
            self.results.store.write_bytes(content, *place)
            return "/".join([self.results.store.location, *place])
        except OSError as error:
            where = out or f"{self.results.store.location}/studies/{self.results.study}"
            reason = error.strerror or str(error)
            raise BadInput(
                f"{name} cannot be written to {where} ({reason}); name another folder with --out"
            ) from error


def analyse_study(location: str, study: str | None = None) -> StudyAnalysis:
    """Evaluate the configurations of a study; raises BadInput if no trial is finished."""
    results = open_results(location, study)
    evaluations = pooled_evaluations(results)
    if not evaluations:
        failed = [trial for trial in results.unfinished if trial.failure]
        first = sorted(failed, key=lambda trial: not trial.damaged)[:1]
        why = "".join(f" ({trial.name}: {trial.failure})" for trial in first)
        raise BadInput(f"study {results.study!r} in {location} has no finished trial{why}")
    numbers = study_numbers(results)
    return StudyAnalysis(results, evaluations, numbers, study_front(results, evaluations, numbers))
