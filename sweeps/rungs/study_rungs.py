"""At which epochs the training runs of a search pause, by how long they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.errors import BadInput, first_ten
from sweeps.planning.study import StudySpec, expand, study_searches, written_values
from sweeps.search.asked import AskedConfiguration, Searched
from sweeps.search.cells import kinds
from sweeps.search.domains import Choice
from sweeps.search.halving import Halving


@dataclass(frozen=True)
class StudyRungs:
    """The rungs of every configuration that a study may ask for."""

    study: StudySpec
    searches: Mapping[str, Searched]
    """By cell."""
    epochs: Mapping[str, int]
    """Of the fine-tunings of each search, by its cell; a search without any is left out."""
    rungs: Mapping[str, tuple[int, ...]]
    """Below them."""

    def __call__(self, search: str, choices: Mapping[str, Choice]) -> tuple[int, ...]:
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
    found = {cell: _epochs(study, one) for cell, one in searches.items()}
    epochs = {cell: length for cell, length in found.items() if length is not None}
    if not epochs:
        raise BadInput(
            "search.halving pauses fine-tunings, and every configuration of this study is a probe, "
            "which trains in seconds: remove halving"
        )
    rungs = {cell: spec.rungs_below(length) for cell, length in epochs.items()}
    return Halving(spec, StudyRungs(study, searches, epochs, rungs), study.search.seed)


def _epochs(study: StudySpec, searched: Searched) -> int | None:
    """The epochs of a search's fine-tunings, the same for all; None for probes alone."""
    asked = [
        AskedConfiguration(searched.cell, cell, number, choices, (0,), (0,))
        for number, (cell, choices) in enumerate(kinds(searched), start=1)
    ]
    recipes = [each.trial.adaptation for each in expand(study, asked) if each.asked is not None]
    lengths = {recipe.epochs for recipe in recipes if isinstance(recipe, EndToEnd)}
    if len(lengths) > 1:
        raise BadInput(
            f"search.halving compares fine-tunings of one length, and search {searched.cell} has "
            f"some of {first_ten(sorted(lengths))} epochs: give all the same, or make what differs "
            "an axis of the matrix, which gives each length a search of its own"
        )
    return lengths.pop() if lengths else None


def _is_fine_tuning(values: Mapping[str, object]) -> bool:
    adaptation = values.get("adaptation")
    return isinstance(adaptation, dict) and adaptation.get("method") == "end_to_end"
