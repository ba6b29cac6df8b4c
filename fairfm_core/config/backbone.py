"""A trial's network and the pre-trained weights it starts from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fairfm_core.config.frozen import Frozen

Normalisation = Literal["cxr", "imagenet", "half"]
"""Mean and standard deviation of pixels: of radiographs, of ImageNet, or 0.5 and 0.5."""


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
