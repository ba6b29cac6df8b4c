"""A trial's network and the pre-trained weights it starts from."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.errors import BadInput

Normalisation = Literal["cxr", "imagenet", "half"]
"""Mean and standard deviation of pixels: of radiographs, of ImageNet, or 0.5 and 0.5."""


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
    image_size: int = Field(224, ge=16)
    """Height and width of the input, in pixels."""
    channels: Literal[1, 3] = 3
    """Grey images are repeated to three channels where a backbone expects colour."""
    normalisation: Normalisation = "cxr"
    options: dict[str, bool | int | float | str | list[int]] = Field(default_factory=dict)
    """Further keyword arguments of `timm.create_model`, such as patch_size or depth."""
    crop_pct: float = Field(1.0, gt=0, le=1)
    """Side of the centre crop in evaluation, as a share of the image's side: 0.875 means MAE's
    resizing to 256 and cropping to 224."""

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
