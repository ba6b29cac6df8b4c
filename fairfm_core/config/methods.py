"""What a study may name and who does the work: self-supervised methods, samplings, losses.

One record each. A record holds what planning must know, without torch, and names the code that does
the work as "module:attribute", which is imported on use. To add one, write that code and its record
here; recipes, validation, planning, memory counts and training find it by its name.
"""

from __future__ import annotations

import importlib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter

from fairfm_core.config.frozen import Frozen, one_or_several
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.errors import BadInput, did_you_mean

Values = dict[str, Any]
"""Raw values, as a study writes them."""


def imported(work: str) -> Any:
    """What "module:attribute" names."""
    module, _, attribute = work.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _tag(settings: type[Frozen], field_name: str) -> str:
    """The one value that a field of these settings may have."""
    (name,) = typing.get_args(settings.model_fields[field_name].annotation)
    assert isinstance(name, str)
    return name


def _known(name: Any, known: Iterable[str], kind: str) -> str:
    """The name unchanged; raises BadInput for an unknown one, with the nearest known one."""
    names = list(known)
    if name not in names:
        raise BadInput(
            f"{kind} {name!r} is not known{did_you_mean(str(name), names)}; known: "
            f"{', '.join(names)}"
        )
    return str(name)


# Self-supervised methods


@dataclass(frozen=True)
class SelfSupervisedMethod:
    """A pre-training method."""

    settings: type[Pretraining]
    """The settings of pre-training with this method: the shared ones and its own."""
    work: str
    """Its subclass of `training.pretraining.method.SelfSupervision`: the network, the loss of a
    batch, and what a training keeps in memory."""
    views: int
    """Random views of each image per step, one or two; their kind is set by
    `augmentation`."""
    compares_images: bool
    """Whether the loss compares the images of a batch. If so, a batch cannot be divided into parts,
    and all workers need equal shares of two images or more."""
    probe: Values
    """The linear probe that the method was published with; also a recipe of that name."""
    recipes: Mapping[str, Values]
    """Values of each recipe that differ from the defaults of `settings`."""

    @property
    def name(self) -> str:
        """What a study calls it."""
        return _tag(self.settings, "method")

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
    mask_ratio: float = Field(0.75, gt=0, lt=1)
    norm_pix: bool = True
    """Normalise the target within each patch."""
    decoder_dim: int = Field(512, ge=8)
    decoder_depth: int = Field(8, ge=1)
    decoder_heads: int = Field(16, ge=1)
    micro_batch: int | None = Field(None, ge=2)
    """Images that pass through the network at once; null means as many as memory allows. The
    gradient is that of the whole batch either way."""


class MocoV3Settings(Pretraining):
    """Momentum contrast, version 3 (MoCo v3): distinguish the views of one image from those of
    others."""

    method: Literal["mocov3"]
    temperature: float = Field(0.2, gt=0)
    momentum: float = Field(0.99, gt=0, lt=1)
    """Initial momentum of the key encoder; it rises to 1 along a cosine."""
    hidden_dim: int = Field(4096, ge=8)
    """Width of the projector's and the predictor's hidden layers."""
    projection_dim: int = Field(256, ge=2)


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
    method = SELF_SUPERVISED[_known(values["method"], SELF_SUPERVISED, "pre-training method")]
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


# Samplings of the training split


@dataclass(frozen=True)
class Sampling:
    """Which images of the training split an adaptation sees."""

    work: str
    """`(frame, attribute, age_edges, seed) -> positions`: ascending positions in the training
    split's frame. Raises BadInput for a frame that it cannot sample."""
    by_group: bool
    """Whether it depends on the groups of the attribute that `data.balance` names: then that
    enters the identity, and `sampling.csv` lists the groups before and after."""


SAMPLINGS: dict[str, Sampling] = {
    "standard": Sampling("fairfm_core.data.balancing:whole_split", by_group=False),
    "balanced": Sampling("fairfm_core.data.balancing:balanced_subset", by_group=True),
}


def known_sampling(name: str) -> str:
    """The name unchanged; raises BadInput for an unknown one, with the nearest known one."""
    return _known(name, SAMPLINGS, "sampling")


# Losses of an adaptation


class LossSettings(Frozen):
    """A loss and its parameters; base class of each loss's settings."""

    name: str


class CrossEntropySettings(LossSettings):
    """Binary cross-entropy, the mean over the batch's known labels."""

    name: Literal["bce"]


class FocalSettings(LossSettings):
    """Focal loss (Lin et al. 2017): cross-entropy times (1 - probability of the label)^gamma."""

    name: Literal["focal"]
    gamma: float = Field(1.0, ge=0)
    """0 is cross-entropy; 1 is the default of MEDFAIR and SubpopBench."""


class GroupLossSettings(LossSettings):
    """A loss that needs the group of each image; base class of such losses' settings."""

    attribute: Annotated[str | tuple[str, ...], AfterValidator(one_or_several)] = "race"
    """Attribute that defines the groups; for several, every combination of their groups."""


class GroupReweightingSettings(GroupLossSettings):
    """Cross-entropy, each image weighted inversely to the size of its group.

    For each pathology every group has the same total weight over the training images whose label
    is known. Images whose group is unknown have weight 0, as balanced sampling leaves them out.
    """

    name: Literal["reweighted"]


@dataclass(frozen=True)
class LossRecord:
    """A loss that a recipe may name."""

    settings: type[LossSettings]
    """Its parameters; a subclass of `GroupLossSettings` if it needs the groups of images."""
    work: str
    """`(settings, targets_NP, groups_N) -> training.losses.Loss`, for the targets and groups of the
    training images."""
    only_weights: bool = False
    """Whether it differs from cross-entropy only by image weights. Linear probes, which hard-code
    the gradient of cross-entropy, accept no other loss."""

    @property
    def name(self) -> str:
        """What a study calls it."""
        return _tag(self.settings, "name")


LOSSES: dict[str, LossRecord] = {
    record.name: record
    for record in (
        LossRecord(
            CrossEntropySettings, "fairfm_core.training.losses:cross_entropy", only_weights=True
        ),
        LossRecord(FocalSettings, "fairfm_core.training.losses:focal"),
        LossRecord(
            GroupReweightingSettings,
            "fairfm_core.training.losses:group_reweighting",
            only_weights=True,
        ),
    )
}


def _named_loss(given: Any) -> Any:
    """`focal` stands for `{name: focal}`; raises BadInput for an unknown name."""
    values = {"name": given} if isinstance(given, str) else given
    if isinstance(values, LossSettings):
        return values
    if not isinstance(values, Mapping) or "name" not in values:
        raise BadInput(
            f"a loss is a name ({', '.join(LOSSES)}) or a mapping with `name` and the loss's "
            f"settings, not {given!r}"
        )
    _known(values["name"], LOSSES, "loss")
    return values


if TYPE_CHECKING:
    AnyLoss = LossSettings
else:
    AnyLoss = Annotated[
        typing.Union[tuple(record.settings for record in LOSSES.values())],  # noqa: UP007
        Field(discriminator="name"),
        BeforeValidator(_named_loss),
    ]
    """The settings of whichever loss the values name."""

CROSS_ENTROPY: LossSettings = CrossEntropySettings(name="bce")
