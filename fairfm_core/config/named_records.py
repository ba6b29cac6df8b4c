"""What the records that a study names have in common: their names, and the work that they name.

A record says what planning must know, without torch, and names the code that does the work as
"module:attribute", which is imported on use.
"""

from __future__ import annotations

import importlib
import typing
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fairfm_core.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel


def imported(work: str) -> Any:
    """The object that "module:attribute" names."""
    module, _, attribute = work.partition(":")
    return getattr(importlib.import_module(module), attribute)


def tag(settings: type[BaseModel], field_name: str) -> str:
    """The only value that a field of these settings may have."""
    (name,) = typing.get_args(settings.model_fields[field_name].annotation)
    assert isinstance(name, str)
    return name


def known_name(name: Any, known: Iterable[str], kind: str) -> str:
    """The name unchanged; raises BadInput for an unknown one, with the nearest known one."""
    names = list(known)
    if name not in names:
        raise BadInput(
            f"{kind} {name!r} is not known{did_you_mean(str(name), names)}; known: "
            f"{', '.join(names)}"
        )
    return str(name)
