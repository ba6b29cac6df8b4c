"""Which two models the multiverse compares, and their predictions under each label policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.figures.made import FigureOptions
from analysis.figures.one_model.chosen import (
    ModelTrials,
    all_seeds,
    named_model,
    source_of,
    study_models,
)
from analysis.paper.answers import PaperAnswers
from fairfm_core.config.label_policies import POLICIES
from fairfm_core.data.cohort import read_cohort, settled
from fairfm_core.data.cohort_checks import LABEL_PREFIX, UNCERTAIN_PREFIX
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.evaluation.predictions import Predictions

COHORT = "cohort.parquet"
AS_EVALUATED = "as evaluated"
"""The label policy of the predictions themselves."""


@dataclass(frozen=True, eq=False)
class ModelPair:
    """Two models, the first of which is judged."""

    first: ModelTrials
    other: ModelTrials


def model_pair(answers: PaperAnswers, options: FigureOptions) -> ModelPair:
    """The model of `--trial` and that of `--against`; raises BadInput where there is none."""
    first = source_of(answers, options.trial)
    other = _other(answers, first, options.against)
    if {trial.evaluate for trial in first.trials} == {trial.evaluate for trial in other.trials}:
        raise BadInput(f"{first.name} would be compared with itself; choose with --against")
    return ModelPair(first, other)


def _other(answers: PaperAnswers, first: ModelTrials, name: str | None) -> ModelTrials:
    """The named model, else the member of the front that gives most accuracy away for fairness."""
    if name is not None:
        return named_model(answers, name, "as chosen with --against")
    known = {trial.group for trial in first.trials}
    (models,) = (each for each in study_models(answers) if each.results is first.results)
    for row in (*reversed(models.front.members), *models.front.rows):
        if row["group"] not in known and row["group"] in models.evaluations:
            groups = {each.group: each for each in first.results.configurations}
            why = "the least accurate" if row["on_front"] else "none other is"
            why = f"{why} on the front, by validation AUC; choose another with --against"
            return all_seeds(first.results, groups[row["group"]], why)
    raise BadInput("there is no second finished configuration to compare with")


def seeds_by_policy(
    pair: ModelPair, data: str | None
) -> Iterator[tuple[str, tuple[list[Predictions], list[Predictions]]]]:
    """The label policy, and the predictions of every seed of both models with its labels.

    `data` is the folder of the prepared data, whose cohort says which labels are uncertain; without
    it there are the labels that the models were evaluated with. Raises BadInput for another cohort.
    """
    sides = [
        [each.results.predictions(trial) for trial in each.trials]
        for each in (pair.first, pair.other)
    ]
    if data is None:
        yield AS_EVALUATED, (sides[0], sides[1])
        return
    cohort = read_cohort(Path(data) / COHORT)
    marked = [name for name in cohort if str(name).startswith(UNCERTAIN_PREFIX)]
    if not any(cohort[name].any() for name in marked):
        raise BadInput(f"{data} has no uncertain labels: label policies make no difference there")
    for policy in POLICIES:
        known = dict.fromkeys((str(n).removeprefix(UNCERTAIN_PREFIX) for n in marked), policy)
        labels = settled(cohort, known).set_index("image_id")
        first, other = ([_labelled(each, labels, data) for each in side] for side in sides)
        yield policy, (first, other)


def _labelled(predictions: Predictions, labels: pd.DataFrame, data: str) -> Predictions:
    """The predictions with the labels of a cohort; BadInput unless it is the one they are of."""
    frame = predictions.frame
    ids = frame["image_id"].astype(str)
    if lacking := sorted(set(ids) - set(labels.index)):
        raise BadInput(f"{data} is of other images: it lacks {first_ten(lacking)}")
    own = labels.loc[ids.tolist()]
    columns = {
        f"{LABEL_PREFIX}{name}": own[f"{LABEL_PREFIX}{name}"].set_axis(frame.index)
        for name in predictions.pathologies
    }
    for name in predictions.pathologies:
        _check_certain(frame, own, name, data)
    return Predictions(frame.assign(**columns))


def _check_certain(frame: pd.DataFrame, own: pd.DataFrame, name: str, data: str) -> None:
    """Raise BadInput where a label that no policy changes differs from the one evaluated."""
    mark, label = f"{UNCERTAIN_PREFIX}{name}", f"{LABEL_PREFIX}{name}"
    certain = own[mark].to_numpy() != 1 if mark in own else own[label].notna().to_numpy()
    theirs, ours = (each[label].to_numpy(dtype=float)[certain] for each in (own, frame))
    if ((theirs != ours) & ~(pd.isna(theirs) & pd.isna(ours))).any():
        raise BadInput(f"{data} has other labels of {name} than the predictions; give their data")
