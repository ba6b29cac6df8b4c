"""The rungs of the training runs of a search, by how large they are in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.errors import BadInput
from sweeps.planning.expansion import expand, written_values
from sweeps.planning.study import StudySpec, study_searches
from sweeps.search.asked import AskedConfiguration, Searched
from sweeps.search.cells import kinds
from sweeps.search.domains import Choice
from sweeps.search.halving import Halving, Rung, SearchHalving


@dataclass(frozen=True)
class StudyRungs:
    """The rungs of every configuration that a study may ask for."""

    study: StudySpec
    searches: Mapping[str, Searched]
    """By cell."""
    whole: Mapping[str, Rung]
    """The epochs, share of patients or image size of the fine-tunings of each search, by its cell;
    a search without any is left out."""
    rungs: Mapping[str, tuple[Rung, ...]]
    """Below them."""

    def __call__(self, search: str, choices: Mapping[str, Choice]) -> tuple[Rung, ...]:
        """The rungs of a configuration; none for a probe, which is trained to the end at once."""
        values = written_values(self.study, self.searches[search], choices)
        return self.rungs.get(search, ()) if _is_fine_tuning(values) else ()


def study_halving(study: StudySpec) -> Halving | None:
    """The halving of a study's searches; None without.

    Raises BadInput for rungs beyond the end, for training runs of several lengths in one search and
    for a study without any fine-tuning.
    """
    if study.search is None or study.search.halving is None:
        return None
    spec = study.search.halving
    searches = {one.cell: one for one in study_searches(study)}
    found = {cell: _whole(study, one, spec) for cell, one in searches.items()}
    whole = {cell: size for cell, size in found.items() if size is not None}
    if not whole:
        raise BadInput(
            "search.halving begins fine-tunings small, and every configuration of this study is a "
            "probe, which trains in seconds: remove halving"
        )
    rungs = {cell: spec.rungs_below(size) for cell, size in whole.items()}
    return Halving(spec, StudyRungs(study, searches, whole, rungs), study.search.seed)


def _whole(study: StudySpec, searched: Searched, spec: SearchHalving) -> Rung | None:
    """The size of a search's fine-tunings, the same for all; None for probes alone."""
    asked = [
        AskedConfiguration(searched.cell, cell, number, choices, (0,), (0,))
        for number, (cell, choices) in enumerate(kinds(searched), start=1)
    ]
    trials = [each.trial for each in expand(study, asked) if each.asked is not None]
    tuned = [trial for trial in trials if isinstance(trial.adaptation, EndToEnd)]
    if spec.fidelity == "image_size" and any(trial.pretraining for trial in tuned):
        raise BadInput(
            "search.halving: image_size would pre-train an encoder for each size of images: use "
            "fidelity epochs or fraction, or start from published weights"
        )
    sizes = {spec.record.of(trial) for trial in tuned}
    if len(sizes) > 1:
        raise BadInput(
            f"search.halving compares fine-tunings of one size, and search {searched.cell} has "
            f"some of {spec.record.text(sorted(sizes))} {spec.record.words}: give all the same, or "
            "make what differs an axis of the matrix, which gives each a search of its own"
        )
    return sizes.pop() if sizes else None


def _is_fine_tuning(values: Mapping[str, object]) -> bool:
    adaptation = values.get("adaptation")
    return isinstance(adaptation, dict) and adaptation.get("method") == "end_to_end"
