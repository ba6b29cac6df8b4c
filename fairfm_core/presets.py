"""Named presets: `recipe: NAME` beside a method is taken out and looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fairfm_core.errors import BadInput, did_you_mean

Preset = TypeVar("Preset")


def taken_recipe(
    given: Mapping[str, Any], presets: Mapping[str, Mapping[str, Preset]]
) -> tuple[dict[str, Any], Preset | None]:
    """The raw values without `recipe` (`paper` unless given), and that preset of their `method`.

    None for an unknown method, which validation refuses. Raises BadInput for an unknown recipe,
    with the nearest known one.
    """
    values = dict(given)
    recipe = values.pop("recipe", "paper")
    known = presets.get(str(values.get("method")), {})
    if not isinstance(recipe, str) or (known and recipe not in known):
        raise BadInput(
            f"recipe {recipe!r} is not known for {values.get('method')}"
            f"{did_you_mean(str(recipe), known)}; known: {', '.join(known)}"
        )
    return values, known.get(recipe)
