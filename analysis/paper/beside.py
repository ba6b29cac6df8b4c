"""Models of other programs that stand below the paper's rows, from files of their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.paper.items import TABLES
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.reading.form import PredictionForm
from fairfm_core.evaluation.reading.model import ReadModel


@dataclass(frozen=True)
class BesideRequest:
    """Which files to read, and how they are laid out."""

    given: tuple[str, ...]
    """`PATH` or `NAME=PATH`; a folder of folders holds one for each seed."""
    form: PredictionForm


@dataclass(frozen=True, eq=False)
class BesideModel:
    """A model of another program."""

    seeds: tuple[Predictions, ...]
    notes: tuple[str, ...]
    """What was taken for granted, a sentence each."""


def beside_models(
    request: BesideRequest, settings: EvaluationSettings, pathologies: Sequence[str] | None
) -> dict[str, BesideModel]:
    """The models by name, with the pathologies of the studies alone.

    Args:
        request: the files.
        settings: how the studies are evaluated; their attributes are needed.
        pathologies: those of the studies; None where nothing was run.

    Raises:
        BadInput: two models of one name, files that are not predictions, an attribute or a
            pathology that the studies have and a model lacks, and a model without test images.
    """
    from analysis.evaluation.evaluate import named_path, seed_models  # loads numba

    models: dict[str, BesideModel] = {}
    taken = {row for item in TABLES.values() for row in item.rows}
    for text in request.given:
        name, path = named_path(text)
        if name in models or name in taken:
            raise BadInput(
                f"--with: two rows are called {name!r}; name the model, as in other={path}"
            )
        read = seed_models(path, request.form, settings.attributes, settings)
        models[name] = _comparable(name, read, pathologies)
    return models


def _comparable(
    name: str, read: Sequence[ReadModel], pathologies: Sequence[str] | None
) -> BesideModel:
    """The model with the studies' pathologies: other means are other numbers."""
    notes = dict.fromkeys(f"{name}: {note}" for each in read for note in each.notes)
    if all("test" not in set(each.predictions.frame["split"]) for each in read):
        raise BadInput(f"--with {name}: its files hold no test images, which tables are made of")
    if pathologies is None:
        return BesideModel(tuple(each.predictions for each in read), tuple(notes))
    return BesideModel(
        tuple(_with_pathologies(name, each.predictions, pathologies) for each in read),
        tuple(notes),
    )


def _with_pathologies(
    name: str, predictions: Predictions, pathologies: Sequence[str]
) -> Predictions:
    known = predictions.pathologies
    if missing := [each for each in pathologies if each not in known]:
        raise BadInput(
            f"--with {name}: it predicts no {first_ten(map(repr, missing))}, which the studies do,"
            f" so its mean would be another number; it has {first_ten(map(repr, known))}"
        )
    others = [f"{kind}_{each}" for each in known if each not in pathologies for kind in "yp"]
    return Predictions(predictions.frame.drop(columns=others))
