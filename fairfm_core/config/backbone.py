"""A trial's network and the pre-trained weights it starts from."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.config.named_records import known_name
from fairfm_core.errors import BadInput

Normalisation = Literal["cxr", "imagenet", "half"]
"""Mean and standard deviation of pixels: of radiographs, of ImageNet, or 0.5 and 0.5."""

NORMALISATION: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "cxr": ((0.5056,) * 3, (0.252,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5,) * 3, (0.5,) * 3),
}
"""(mean, standard deviation) of each channel: Medical MAE's radiographs, ImageNet, BiT's half."""


class Statistics(Frozen):
    """Mean and standard deviation by which pixels are normalised, on the scale 0 to 1."""

    mean: tuple[float, ...]
    """One number for all channels, or three."""
    std: tuple[float, ...]
    """One number for all channels, or three."""

    @property
    def channels(self) -> int:
        """Number of channels that the numbers tell apart: one or three."""
        return max(len(self.mean), len(self.std))


def read_normalisation(given: Any) -> Any:
    """A name of `NORMALISATION`, or `Statistics` from a mapping of numbers.

    Numbers that have a name become that name: both are the same normalisation. Raises BadInput for
    anything else.
    """
    if isinstance(given, str):
        return known_name(given, NORMALISATION, "normalisation")
    values = given.model_dump() if isinstance(given, Statistics) else given
    if not isinstance(values, dict) or set(values) != {"mean", "std"}:
        raise BadInput(
            f"give a name ({', '.join(NORMALISATION)}) or numbers, {{mean: 0.5056, std: 0.252}}, "
            f"not {given!r}"
        )
    mean, std = _each_channel("mean", values["mean"]), _each_channel("std", values["std"])
    if 0 in std:
        raise BadInput(f"std must be above 0, not {values['std']!r}")
    named = [name for name, numbers in NORMALISATION.items() if numbers == (mean, std)]
    return named[0] if named else Statistics(mean=_shortest(mean), std=_shortest(std))


def _each_channel(name: str, given: Any) -> tuple[float, ...]:
    """Three numbers; raises BadInput for values that are not on the scale 0 to 1."""
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    numeric = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in listed)
    if not numeric or len(listed) not in (1, 3):
        raise BadInput(f"{name} is one number or a list of three, not {given!r}")
    if not all(0 <= x <= 1 for x in listed):
        raise BadInput(
            f"{name} must be from 0 to 1, not {given!r}: pixels are on the scale 0 to 1, so "
            "divide statistics of 8-bit pixels by 255"
        )
    return tuple(float(x) for x in (listed * 3)[:3])


def _shortest(values: tuple[float, ...]) -> tuple[float, ...]:
    """One number where all three are equal."""
    return values[:1] if len(set(values)) == 1 else values


def _share_of_side(share: float) -> float:
    if not 0 < share <= 1:
        raise BadInput(
            f"the centre crop is a share of the image's side, above 0 and up to 1, not {share:g}; "
            "resizing to 256 pixels and cropping to 224 is 0.875"
        )
    return share


AnyNormalisation = Annotated[Normalisation | Statistics, BeforeValidator(read_normalisation)]
"""A name of statistics, or the numbers themselves."""
CropShare = Annotated[float, AfterValidator(_share_of_side)]
"""Side of the centre crop in evaluation, as a share of the image's side."""
INTERPOLATIONS = ("bicubic", "bilinear")


def _known_interpolation(name: Any) -> str:
    return known_name(name, INTERPOLATIONS, "interpolation")


Interpolation = Annotated[Literal["bicubic", "bilinear"], BeforeValidator(_known_interpolation)]
"""How images are resized, always antialiased."""

FILE_OPTIONS = (
    "cache_dir",
    "checkpoint_path",
    "file",
    "hf_hub_id",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "pretrained_custom_load",
    "pretrained_filter_fn",
    "pretrained_strict",
    "state_dict",
    "url",
)
"""Arguments by which timm loads weights that no identity would know."""
SMALLEST_IMAGE = 16
"""Smallest height and width of an input, in pixels."""
HEADS = "num_heads"
"""timm's option for the number of attention heads."""
STANDARD_VIT = re.compile(
    r"(?:vit|deit|deit3|beit|beitv2)_(tiny|small|base|large)_(?:distilled_)?patch\d+_\d+"
)
STANDARD_HEADS = {"tiny": 3, "small": 6, "base": 12, "large": 16}
"""Attention heads of timm's standard vision transformers, by size."""


class Backbone(Frozen):
    """A network from timm and the images it takes."""

    name: str
    """The network's name in timm, without a tag of pre-trained weights."""
    image_size: int = Field(224, ge=SMALLEST_IMAGE)
    """Height and width of the input, in pixels."""
    channels: Literal[1, 3] = 3
    """Grey images are repeated to three channels where a backbone expects colour."""
    normalisation: AnyNormalisation = "cxr"
    """`cxr`, `imagenet`, `half`, or numbers on the scale 0 to 1: `{mean: 0.53, std: 0.23}`."""
    options: dict[str, bool | int | float | str | list[int]] = Field(default_factory=dict)
    """Further keyword arguments of `timm.create_model`, such as patch_size or depth."""
    crop_pct: CropShare = 1.0
    """Side of the centre crop in evaluation, as a share of the image's side: 0.875 means MAE's
    resizing to 256 and cropping to 224."""
    interpolation: Interpolation = "bicubic"
    """How images are resized to `image_size`, in training and in evaluation."""

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of three channels, on the scale 0 to 1."""
        if isinstance(self.normalisation, Statistics):
            mean, std = self.normalisation.mean, self.normalisation.std
            return (mean * 3)[:3], (std * 3)[:3]
        return NORMALISATION[self.normalisation]

    @field_validator("options", mode="before")
    @classmethod
    def _load_no_file(cls, options: Any) -> Any:
        named = sorted(set(options) & set(FILE_OPTIONS)) if isinstance(options, dict) else ()
        if named:
            raise BadInput(
                f"{named[0]} would load weights that no identity covers; write them as "
                "weights: {file: PATH, format: FORMAT}"
            )
        return options

    @model_validator(mode="after")
    def _one_mean_for_grey(self) -> Backbone:
        given = self.normalisation
        if self.channels == 1 and isinstance(given, Statistics) and given.channels > 1:
            raise BadInput(
                "normalisation has three numbers and the backbone one channel: give one mean and "
                "one std"
            )
        return self


class PublishedWeights(Frozen):
    """Pre-trained weights: a model of the zoo, or a file of the user's own.

    The file is either converted (`fairfm model convert`) or, if its format is known, as published.
    An identity contains the SHA-256 of the published file, never its path.
    """

    model: str
    """Id in `fairfm model list`, or a name of the user's own."""
    file: str | None = None
    """Path of the file; null for a model whose weights ship with a package."""
    format: str | None = None
    """Format of the published file; null for a converted file or for the zoo's format."""
    sha256: str | None = None
    """SHA-256 of the published file; if a study gives it, any other file is refused."""
    network: Backbone
    """The network in the published file, whose image size and channels may differ from the
    trial's."""
    heads: int | None = Field(None, ge=1)
    """Number of attention heads in the file, which no shape shows; null if the file states it or
    the network has no attention."""
    key: str | None = None
    """Key of the checkpoint that holds the weights, such as state_dict_ema; a dot enters a nested
    one. Null if there is only one candidate."""
    prefix: str | None = None
    """Beginning of the names of the backbone's tensors, such as `model.backbone.`, which is
    removed; tensors with other names are left out. Null if there is only one candidate."""


def default_heads(name: str) -> int | None:
    """Attention heads of a standard vision transformer, by its name in timm; None for others."""
    standard = STANDARD_VIT.fullmatch(name.partition(".")[0])
    return STANDARD_HEADS[standard[1]] if standard else None


def with_heads(name: str, options: dict[str, Any], heads: int) -> dict[str, Any]:
    """The options of network `name` with this many attention heads; defaults are left out.

    Raises BadInput if the options name another number.
    """
    if options.get(HEADS, heads) != heads:
        raise BadInput(
            f"heads: {heads} contradicts {HEADS}: {options[HEADS]} in options; leave one out"
        )
    return options if default_heads(name) == heads else {**options, HEADS: heads}
