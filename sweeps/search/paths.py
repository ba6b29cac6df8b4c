"""The dotted paths into a trial that a search may write."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel

from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED
from fairfm_core.config.trial import Trial
from fairfm_core.errors import BadInput, did_you_mean

FREE = ("backbone.options", "weights.network.options")
"""Mappings whose keys are those of other libraries."""
RECIPES = ("adaptation.recipe", "weights.pretraining.recipe")
"""Keys that are written in a study and spelt out before a trial is validated."""
NOT_SEARCHED = {
    "seed": "list the seeds under `seeds`, and repeat configurations with `search.replicates`",
    "data.dataset": "values on different data cannot be compared: make it an axis of the matrix",
}


def check_path(path: str, more: Iterable[str] = ()) -> None:
    """Raise BadInput unless a trial has this path, or `more` names it."""
    if path in NOT_SEARCHED:
        raise BadInput(f"search.parameters: {path!r} cannot be searched: {NOT_SEARCHED[path]}")
    known = {*trial_paths(), *more}
    if path in known or any(path.startswith(f"{free}.") for free in FREE):
        return
    raise BadInput(
        f"search.parameters: unknown parameter {path!r}{did_you_mean(path, known)}; "
        "give the dotted path of a value of a trial, such as adaptation.base_lr"
    )


@cache
def trial_paths() -> frozenset[str]:
    """Every path of a trial, of sections and of single values."""
    paths = {path for path in _paths("", Trial) if not path.startswith("pretraining")}
    for method in SELF_SUPERVISED.values():
        paths |= set(_paths("weights.pretraining.", method.settings))
    hidden = {"weights.pretraining.digest"}
    return frozenset({*paths, *RECIPES, "weights.pretraining"} - hidden)


def _paths(start: str, record: type[BaseModel]) -> Iterator[str]:
    for name, field in record.model_fields.items():
        yield f"{start}{name}"
        for inner in _records(field.annotation):
            yield from _paths(f"{start}{name}.", inner)


def _records(annotation: Any) -> Iterator[type[BaseModel]]:
    """The records that a field may hold itself, not in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Annotated, typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _records(part)
