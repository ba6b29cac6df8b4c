"""A trial's network and the pre-trained weights it starts from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fairfm_core.config.frozen import Frozen


class Backbone(Frozen):
    """A network from timm and the image it sees."""

    name: str
    image_size: int = Field(224, ge=16)
    """Height and width of the input, in pixels."""
    channels: Literal[1, 3] = 3
    """Grey images are repeated to three channels where a backbone expects colour."""
    normalisation: Literal["cxr", "imagenet", "half"] = "cxr"
    options: dict[str, bool | int | float | str | list[int]] = Field(default_factory=dict)
    """Further keyword arguments of `timm.create_model`, such as patch_size or depth."""
    crop_pct: float = Field(1.0, gt=0, le=1)
    """Side of the centre crop that evaluation sees, as a share of the image's: 0.875 is MAE's
    resizing to 256 and cropping to 224."""


class PublishedWeights(Frozen):
    """Pre-trained weights: a model of the zoo, or a file of the user's own.

    The file is a converted one (`fairfm model convert`) or, with its format known, the published
    one. What enters an identity is the SHA-256 of the published file, never a path.
    """

    model: str
    """Id in `fairfm model list`, or a name of the user's own."""
    file: str | None = None
    """Null for a model whose weights come with a package."""
    format: str | None = None
    """How the file was published; null for a converted file, or as the zoo says."""
    sha256: str | None = None
    """Of the published file; where a study gives it, another file is refused."""
    network: Backbone
    """The network as the published file holds it: its image size and channels may be others."""
