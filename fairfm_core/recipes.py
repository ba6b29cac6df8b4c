"""Recipes: named presets of an adaptation whose every field a study may still set.

`recipe: smoke` is replaced by its fields before validation, so identity is what a recipe says and
never what it is called. `paper` is the default of every field (section 3.2; MAE's linear probe).
"""

from __future__ import annotations

from typing import Any

from fairfm_core.errors import BadInput, did_you_mean

RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "end_to_end": {
        "paper": {},
        # Minutes on two cores: few epochs, a small batch, no warm-up to speak of.
        "smoke": {
            "epochs": 8,
            "batch_size": 16,
            "base_lr": 4e-3,
            "lr_scaling": "absolute",
            "warmup_epochs": 1,
            "drop_path": 0.0,
        },
    },
    "linear_probe": {
        "paper": {},
        "smoke": {"epochs": 30, "batch_size": 128, "warmup_epochs": 3},
    },
}


def resolve_recipe(values: Any) -> Any:
    """A trial's raw values with `adaptation.recipe` replaced by the fields it stands for."""
    if not isinstance(values, dict) or not isinstance(values.get("adaptation"), dict):
        return values
    adaptation = dict(values["adaptation"])
    recipe = adaptation.pop("recipe", "paper")
    known = RECIPES.get(str(adaptation.get("method")), {})
    if not isinstance(recipe, str) or (known and recipe not in known):
        raise BadInput(
            f"recipe {recipe!r} is not known for {adaptation['method']}"
            f"{did_you_mean(str(recipe), known)}; known: {', '.join(known)}"
        )
    return {**values, "adaptation": {**known.get(recipe, {}), **adaptation}}
