"""Recipes: named sets of values, any of which a study may override.

`recipe: smoke` is replaced by its values before validation, so that the identity of a trial depends
on what a recipe says and never on what it is called. What a recipe leaves out has its default; what
depends on the model (section 3.2: epochs, batch, layer decay) comes from the zoo's record.

Recipes of a pre-training are in its method's record (`config/methods/self_supervised.py`), as is
the linear probe that the method was published with. Recipes of the two adaptations are here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fairfm_core.config.frozen import Values
from fairfm_core.config.methods.self_supervised import MAE, SELF_SUPERVISED
from fairfm_core.config.zoo import FoundationModel
from fairfm_core.errors import BadInput, did_you_mean

Recipe = TypeVar("Recipe")
PAPER, OFFICIAL = "paper", "official"
"""The recipe unless one is named, and that of the publishers' own code."""


def pretraining_values(given: Mapping[str, Any]) -> Values:
    """A pre-training's raw values with `recipe` replaced by the values it stands for.

    Raises BadInput for an unknown recipe, with the nearest known one.
    """
    recipes = {name: record.recipes for name, record in SELF_SUPERVISED.items()}
    values, recipe = _recipe_taken(given, recipes)
    return {**(recipe or {}), **values}


def adaptation_values(given: Mapping[str, Any], start: Start) -> Values:
    """An adaptation's raw values with `recipe` replaced by the values it stands for.

    Raises BadInput for an unknown recipe, with the nearest known one.
    """
    values, recipe = _recipe_taken(given, ADAPTATION_RECIPES)
    return {**(recipe(start) if recipe is not None else {}), **values}


def _recipe_taken(
    given: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Recipe]]
) -> tuple[Values, Recipe | None]:
    """The raw values without `recipe` (`paper` unless given), and that recipe of their `method`.

    None for an unknown method, which validation refuses.
    """
    values = dict(given)
    name = values.pop("recipe", PAPER)
    known = recipes.get(str(values.get("method")), {})
    if not isinstance(name, str) or (known and name not in known):
        raise BadInput(
            f"recipe {name!r} is not known for {values.get('method')}"
            f"{did_you_mean(str(name), known)}; known: {', '.join(known)}"
        )
    return values, known.get(name)


@dataclass(frozen=True)
class Start:
    """What an adaptation starts from, as far as its recipe depends on it."""

    model: FoundationModel | None
    """The zoo's record or that of the user's own file; None for a network that only the trial
    names."""
    transformer: bool
    pretrained: bool
    """Whether the weights are not random."""
    pretraining: str | None = None
    """Method of the trial's own pre-training, if it has one."""

    def without_needless_decay(self, values: Values) -> Values:
        """`values` without layer decay unless the network is a pre-trained transformer.

        From random weights layer decay would freeze the stem; by block it would freeze most of a
        ResNet, for which Medical MAE's code has no decay either.
        """
        if self.transformer and self.pretrained:
            return values
        return {name: value for name, value in values.items() if name != "layer_decay"}


# End-to-end fine-tuning

RANDAUGMENT: Values = {"augmentation": "randaugment", "augmentation_path": "pil"}
MEDICAL_MAE: Values = {
    # Its code: batch 1024, hence a peak rate of 1e-3; the betas are AdamW's own.
    "epochs": 75,
    "batch_size": 1024,
    "betas": (0.9, 0.999),
    "layer_decay": 0.55,
    **RANDAUGMENT,
}
OFFICIAL_MAE: Values = {
    # MAE's repository for ViT-B, without mixup, cutmix, random erasing and label smoothing, which
    # are meant for single-label classification.
    "epochs": 100,
    "batch_size": 1024,
    "base_lr": 5e-4,
    "min_lr": 1e-6,
    "betas": (0.9, 0.999),
    "layer_decay": 0.65,
    "drop_path": 0.1,
    "magnitude": 9.0,
    **RANDAUGMENT,
}
SMOKE_FINE_TUNING: Values = {
    # Takes minutes on two cores: few epochs, a small batch, hardly any warm-up.
    "epochs": 8,
    "batch_size": 16,
    "base_lr": 4e-3,
    "lr_scaling": "absolute",
    "warmup_epochs": 1,
    "drop_path": 0.0,
}


def _paper_fine_tuning(start: Start) -> Values:
    """Section 3.2 for this model; a network outside the zoo has the defaults of a ViT-B."""
    values: Values = {"layer_decay": 0.55, **RANDAUGMENT}
    model = start.model
    if model is not None and model.epochs is not None:
        values["epochs"] = model.epochs
    if model is not None and model.batch is not None:
        values["batch_size"] = model.batch
    return start.without_needless_decay(values)


def _medical_mae(start: Start) -> Values:
    """Medical MAE's code has no DropPath for networks other than transformers."""
    drop_path = {} if start.transformer else {"drop_path": 0.0}
    return start.without_needless_decay(MEDICAL_MAE) | drop_path


def _official(start: Start) -> Values:
    return start.without_needless_decay(OFFICIAL_MAE)


# Linear probe

SMOKE_PROBE: Values = {"epochs": 30, "batch_size": 128, "warmup_epochs": 3}


def _own_probe(start: Start) -> Values:
    """The probe that the model's own method of pre-training was published with.

    MAE's probe if there is none: random weights, supervised models and users' own files. The paper
    states no probe.
    """
    published = start.model.self_supervised if start.model is not None else None
    return SELF_SUPERVISED.get(start.pretraining or published or "", MAE).probe


def _always(values: Values) -> Callable[[Start], Values]:
    return lambda start: values


ADAPTATION_RECIPES: dict[str, dict[str, Callable[[Start], Values]]] = {
    "end_to_end": {
        PAPER: _paper_fine_tuning,
        "medical_mae": _medical_mae,
        OFFICIAL: _official,
        "smoke": _always(SMOKE_FINE_TUNING),
    },
    "linear_probe": {
        PAPER: _own_probe,
        "medical_mae": _always(MAE.probe),
        OFFICIAL: _own_probe,
        **{name: _always(record.probe) for name, record in SELF_SUPERVISED.items()},
        "smoke": _always(SMOKE_PROBE),
    },
}
