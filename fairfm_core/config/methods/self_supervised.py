"""The self-supervised methods that a pre-training may name, one record each.

To add one, write its network and loss in training/pretraining and its record here; recipes,
validation, planning, memory counts and training find it by its name.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from fairfm_core.config.frozen import Values
from fairfm_core.config.named_records import known_name, tag
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.errors import BadInput


@dataclass(frozen=True)
class SelfSupervisedMethod:
    """A pre-training method."""

    settings: type[Pretraining]
    """The settings of pre-training with this method: the shared ones and its own."""
    work: str
    """Its subclass of `training.pretraining.method.SelfSupervision`: the network, the loss of a
    batch, and what a training keeps in memory."""
    views: int
    """Number of random views of an image per step, one or two; `augmentation` in the settings says
    which kind of view."""
    compares_images: bool
    """Whether the loss compares the images of a batch. If so, a batch cannot be divided into parts,
    and every worker needs an equal share of at least two images."""
    probe: Values
    """The linear probe that the method was published with; also a recipe of that name."""
    recipes: Mapping[str, Values]
    """Values of each recipe that differ from the defaults of `settings`."""

    @property
    def name(self) -> str:
        """What a study calls it."""
        return tag(self.settings, "method")

    @property
    def own_fields(self) -> frozenset[str]:
        """Settings that not every method has."""
        return frozenset(self.settings.model_fields) - frozenset(Pretraining.model_fields)

    def default(self, name: str) -> Any:
        """The default of one of the settings."""
        return self.settings.model_fields[name].default


class MaeSettings(Pretraining):
    """Masked autoencoding (MAE): predict the pixels of hidden patches."""

    method: Literal["mae"]
    """Masked autoencoding."""
    mask_ratio: float = Field(0.75, gt=0, lt=1)
    """Share of the patches that are hidden."""
    norm_pix: bool = True
    """Normalise the target within each patch."""
    decoder_dim: int = Field(512, ge=8)
    """Width of the decoder, which is only needed to pre-train."""
    decoder_depth: int = Field(8, ge=1)
    """Transformer blocks of the decoder."""
    decoder_heads: int = Field(16, ge=1)
    """Attention heads of the decoder."""
    micro_batch: int | None = Field(None, ge=2)
    """Images that pass through the network at once; null means as many as memory allows. The
    gradient is that of the whole batch either way."""


class MocoV3Settings(Pretraining):
    """Momentum contrast, version 3 (MoCo v3): tell views of one image from those of others."""

    method: Literal["mocov3"]
    """Momentum contrast, version 3."""
    temperature: float = Field(0.2, gt=0)
    """Temperature of the contrastive loss."""
    momentum: float = Field(0.99, gt=0, lt=1)
    """Initial momentum of the key encoder; it rises to 1 along a cosine."""
    hidden_dim: int = Field(4096, ge=8)
    """Width of the projector's and the predictor's hidden layers."""
    projection_dim: int = Field(256, ge=2)
    """Width of the vectors that are compared."""


# Section 4.2: the official recipes, but crop to 224, flip and rotation for both methods.
_PAPER: Values = {"augmentation": "paper", "crop_scale": (0.08, 1.0)}
# Takes minutes on two cores: small batches, and a decoder or heads as small as the encoder.
_SMOKE: Values = {"warmup_epochs": 1, "augmentation": "paper", "crop_scale": (0.5, 1.0)}
_MOCO_V3_OFFICIAL: Values = {
    "epochs": 300,
    "betas": (0.9, 0.999),
    "weight_decay": 0.1,
    "augmentation": "mocov3",
    "crop_scale": (0.08, 1.0),
}

MAE = SelfSupervisedMethod(
    settings=MaeSettings,
    work="fairfm_core.training.pretraining.masked_images:MaskedImages",
    views=1,
    compares_images=False,
    probe={"optimizer": "lars", "lr": 0.1, "lr_scaling": "linear256"},
    recipes={
        "paper": _PAPER,
        "official": {},
        # Medical MAE's code: a higher mask ratio, raw pixels, batches of 2048.
        "medical_mae": {
            "mask_ratio": 0.9,
            "norm_pix": False,
            "batch_size": 2048,
            "crop_scale": (0.5, 1.0),
        },
        "smoke": {
            **_SMOKE,
            "epochs": 20,
            "batch_size": 64,
            "base_lr": 8e-3,
            # Raw pixels, half of them masked: patches of small, grainy images are mostly noise.
            "mask_ratio": 0.5,
            "norm_pix": False,
            "decoder_dim": 64,
            "decoder_depth": 1,
            "decoder_heads": 4,
        },
    },
)
MOCO_V3 = SelfSupervisedMethod(
    settings=MocoV3Settings,
    work="fairfm_core.training.pretraining.contrasted_views:ContrastedViews",
    views=2,
    compares_images=True,
    probe={
        "optimizer": "sgd",
        "lr": 3.0,
        "lr_scaling": "linear256",
        "rate_per": "epoch",
        "warmup_epochs": 0,
        "normalise": False,
    },
    recipes={
        "paper": {**_MOCO_V3_OFFICIAL, "epochs": 800, **_PAPER},
        "official": _MOCO_V3_OFFICIAL,
        "smoke": {
            **_SMOKE,
            "epochs": 10,
            "batch_size": 128,
            "base_lr": 2e-3,
            "weight_decay": 0.1,
            "hidden_dim": 256,
            "projection_dim": 64,
        },
    },
)
SELF_SUPERVISED: dict[str, SelfSupervisedMethod] = {
    record.name: record
    for record in (
        MAE,
        MOCO_V3,
    )
}


def _without_foreign_fields(values: Any) -> Any:
    """Raw values without other methods' fields.

    Older records, from when all methods shared one set of fields, name them all: fields at their
    defaults are dropped. Raises BadInput for other fields, and for an unknown method.
    """
    if not isinstance(values, Mapping) or "method" not in values:
        return values
    name = known_name(values["method"], SELF_SUPERVISED, "pre-training method")
    method = SELF_SUPERVISED[name]
    foreign: dict[str, list[SelfSupervisedMethod]] = {}
    for record in SELF_SUPERVISED.values():
        for name in record.own_fields & values.keys() - method.own_fields:
            foreign.setdefault(name, []).append(record)
    if given := sorted(
        name
        for name, owners in foreign.items()
        if values[name] not in [owner.default(name) for owner in owners]
    ):
        owner = foreign[given[0]][0].name
        raise BadInput(
            f"{', '.join(given)} applies to {owner}, not to {method.name}: remove it, or set "
            f"method: {owner}"
        )
    return {name: value for name, value in values.items() if name not in foreign}


if TYPE_CHECKING:
    AnyPretraining = Pretraining
else:
    AnyPretraining = Annotated[
        typing.Union[tuple(record.settings for record in SELF_SUPERVISED.values())],  # noqa: UP007
        Field(discriminator="method"),
        BeforeValidator(_without_foreign_fields),
    ]
    """The settings of whichever method the values name."""


def read_pretraining(values: Mapping[str, Any]) -> Pretraining:
    """The settings of pre-training with the method that `values` name.

    Raises pydantic's ValidationError for invalid values.
    """
    read: Pretraining = TypeAdapter(AnyPretraining).validate_python(values)
    return read
