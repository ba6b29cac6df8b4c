"""Recipes: named presets of an adaptation whose every field a study may still set.

`recipe: smoke` is replaced by its fields before validation, so identity is what a recipe says and
never what it is called. What a recipe leaves out has its default, and what depends on the model
(section 3.2: epochs, batch, layer decay) comes from the zoo's record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fairfm_core.config.pretraining import PRETRAININGS, Values
from fairfm_core.config.zoo import FoundationModel
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


SMOKE_TUNE: Values = {
    # Minutes on two cores: few epochs, a small batch, no warm-up to speak of.
    "epochs": 8,
    "batch_size": 16,
    "base_lr": 4e-3,
    "lr_scaling": "absolute",
    "warmup_epochs": 1,
    "drop_path": 0.0,
}
SMOKE_PROBE: Values = {"epochs": 30, "batch_size": 128, "warmup_epochs": 3}
MEDICAL_MAE: Values = {
    # Its code: batch 1024, so a peak of 1e-3; the betas are AdamW's own.
    "epochs": 75,
    "batch_size": 1024,
    "betas": (0.9, 0.999),
    "layer_decay": 0.55,
    "augmentation": "randaugment",
    "augmentation_path": "pil",
}
OFFICIAL_MAE: Values = {
    # MAE's repository for ViT-B, without mixup, cutmix, random erasing and label smoothing, which
    # are of single-label classification.
    "epochs": 100,
    "batch_size": 1024,
    "base_lr": 5e-4,
    "min_lr": 1e-6,
    "betas": (0.9, 0.999),
    "layer_decay": 0.65,
    "drop_path": 0.1,
    "augmentation": "randaugment",
    "augmentation_path": "pil",
    "magnitude": 9.0,
}
MAE_PROBE: Values = {"optimizer": "lars", "lr": 0.1, "lr_scaling": "linear256"}
MOCO_PROBE: Values = {
    "optimizer": "sgd",
    "lr": 3.0,
    "lr_scaling": "linear256",
    "warmup_epochs": 0,
    "normalise": False,
}


@dataclass(frozen=True)
class Model:
    """What a recipe may depend on."""

    record: FoundationModel | None
    """Of the zoo, or of the user's own file; None for a network named by the trial alone."""
    transformer: bool
    pretrained: bool

    def tuning(self, values: Values) -> Values:
        """A recipe made for a pre-trained transformer, as it is for this model.

        From random weights layer decay would freeze the stem; by block it would freeze most of a
        ResNet, for which Medical MAE's code has neither decay nor DropPath.
        """
        kept = dict(values)
        if not (self.transformer and self.pretrained):
            kept.pop("layer_decay", None)
        return kept


def _paper_tuning(model: Model) -> Values:
    """Section 3.2 for this model; without one of the zoo, the defaults of a ViT-B."""
    values: Values = {
        "layer_decay": 0.55,
        "augmentation": "randaugment",
        "augmentation_path": "pil",
    }
    record = model.record
    if record is not None and record.epochs is not None:
        values["epochs"] = record.epochs
    if record is not None and record.batch is not None:
        values["batch_size"] = record.batch
    return model.tuning(values)


def _medical_mae(model: Model) -> Values:
    return model.tuning(MEDICAL_MAE) | ({} if model.transformer else {"drop_path": 0.0})


def _official(model: Model) -> Values:
    return model.tuning(OFFICIAL_MAE)


def _official_probe(model: Model) -> Values:
    """The official probe of the model's own method; the paper gives none."""
    contrastive = model.record is not None and model.record.method == "contrastive"
    return MOCO_PROBE if contrastive else MAE_PROBE


def _always(values: Values) -> Callable[[Model], Values]:
    return lambda model: values


RECIPES: dict[str, dict[str, Callable[[Model], Values]]] = {
    "end_to_end": {
        "paper": _paper_tuning,
        "medical_mae": _medical_mae,
        "official": _official,
        "smoke": _always(SMOKE_TUNE),
    },
    "linear_probe": {
        "paper": _official_probe,
        "medical_mae": _always(MAE_PROBE),
        "official": _official_probe,
        "mae": _always(MAE_PROBE),
        "mocov3": _always(MOCO_PROBE),
        "smoke": _always(SMOKE_PROBE),
    },
}


def adaptation_values(given: Values, model: Model) -> Values:
    """An adaptation's raw values with `recipe` replaced by the fields it stands for.

    Raises BadInput for an unknown recipe, with the nearest known one.
    """
    adaptation, preset = taken_recipe(given, RECIPES)
    return {**(preset(model) if preset is not None else {}), **adaptation}


def pretraining_values(given: Values) -> Values:
    """A pre-training's raw values with `recipe` replaced by the fields it stands for.

    Raises BadInput for an unknown recipe, with the nearest known one.
    """
    values, preset = taken_recipe(given, PRETRAININGS)
    return {**(preset or {}), **values}
