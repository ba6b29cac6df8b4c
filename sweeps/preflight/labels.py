"""Whether the labels and groups of a study's data define its objectives and their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.wording import counted
from fairfm_core.data.cohort import settled
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.groups import TIMES, has_groups
from fairfm_core.errors import first_ten
from fairfm_core.evaluation.disaggregated.foreseen import (
    FEW_CASES,
    Cell,
    LabelledSplit,
    labelled_splits,
)
from fairfm_core.evaluation.groups import groups_of
from fairfm_core.evaluation.selection.objectives import Objective
from sweeps.planning.plan import StudyPlan
from sweeps.planning.study import StudySpec
from sweeps.preflight.findings import StudyFindings, joined

MOST_CELLS = 3
"""Cells that are named; further ones are counted."""
SPLIT_NAMES = {"val": "validation", "test": "test"}
REMEDY = (
    "prepare the data with more validation patients (--fractions), name fewer labels in "
    "data.pathologies, or leave the attribute out of evaluation.attributes and objectives"
)


@dataclass(frozen=True, eq=False)
class LabelledData:
    """A data set with the labels that some trials of a study predict."""

    data: PreparedData
    pathologies: tuple[str, ...]
    splits: dict[str, LabelledSplit]

    @property
    def name(self) -> str:
        """The data set's folder, for messages."""
        return self.data.folder.name


def label_findings(plan: StudyPlan) -> StudyFindings:
    """Refuses an objective that labels leave undefined on validation; warns of small cells."""
    spec = plan.spec
    return joined(_findings(each, spec) for each in _labelled(plan))


def _labelled(plan: StudyPlan) -> Iterator[LabelledData]:
    """Each data set of the study with each set of labels and label policies, once."""
    by_digest = {data.digest: data for data in plan.data.values()}
    distinct = {
        (stage.digest, *map(str, (stage.config["pathologies"], stage.config.get("labels")))): stage
        for stage in (trial.adapt for trial in plan.trials)
    }
    for stage in distinct.values():
        data, names = by_digest[stage.digest], tuple(stage.config["pathologies"])
        frame = settled(data.frame, stage.config.get("labels", {}))
        yield LabelledData(data, names, labelled_splits(frame, names, plan.spec.evaluation))


def _findings(labelled: LabelledData, spec: StudySpec) -> StudyFindings:
    undefined = [
        (split, objective, cells)
        for split in EVALUATION_SPLITS
        for objective in spec.objectives
        if (cells := labelled.splits[split].undefined(objective.number))
    ]
    refusals = [_refusal(labelled, o, cells) for split, o, cells in undefined if split == "val"]
    warnings = [_on_test(labelled, o, cells) for split, o, cells in undefined if split == "test"]
    for attribute in spec.evaluation.attributes:
        warnings += _small_cells(labelled, attribute)
        warnings += _only_in_training(labelled, attribute, spec.evaluation.age_edges)
    return StudyFindings(tuple(refusals), tuple(warnings))


def _refusal(labelled: LabelledData, objective: Objective, cells: Sequence[Cell]) -> str:
    return (
        f"objective {objective.metric} cannot be defined on validation of {labelled.name}: "
        f"{_some(cells)}; {REMEDY}"
    )


def _on_test(labelled: LabelledData, objective: Objective, cells: Sequence[Cell]) -> str:
    return (
        f"{objective.name} will be undefined on test of {labelled.name}, and missing from the "
        f"front: {_some(cells)}"
    )


def _small_cells(labelled: LabelledData, attribute: str) -> Iterator[str]:
    for split, name in SPLIT_NAMES.items():
        cells = labelled.splits[split].small(attribute)
        if cells:
            yield (
                f"{counted(len(cells), 'cell')} of {attribute} on {name} of {labelled.name} with "
                f"fewer than {FEW_CASES} positives or negatives, whose intervals are wide or "
                f"missing: {_some(cells)}"
            )


def _only_in_training(
    labelled: LabelledData, attribute: str, age_edges: tuple[float, ...]
) -> Iterator[str]:
    frame = labelled.data.frame
    for part in (attribute,) if attribute in frame else attribute.split(TIMES):
        if not has_groups(frame, part):
            continue
        everywhere = groups_of(frame.drop(columns="row"), part, age_edges)
        evaluated = groups_of(labelled.splits["val"].both, part, age_edges)
        if absent := [name for name in everywhere.names if name not in evaluated.names]:
            yield (
                f"{part} {first_ten(absent)} is in the training split of {labelled.name} alone: "
                "it is trained on and never evaluated"
            )


def _some(cells: Sequence[Cell]) -> str:
    named = "; ".join(cell.text() for cell in cells[:MOST_CELLS])
    rest = len(cells) - MOST_CELLS
    return f"{named} (and {counted(rest, 'more cell')})" if rest > 0 else named
