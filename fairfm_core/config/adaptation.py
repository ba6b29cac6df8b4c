"""How a network is adapted: the two recipes, every field of which a study may set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.errors import BadInput

Pool = Literal["auto", "avg", "token"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""`auto`: bfloat16 on a GPU that has it, float16 on an older one, float32 on a CPU."""
Beta = Annotated[float, Field(ge=0, lt=1)]
Scaling = Literal["linear256", "absolute"]
"""`linear256`: the learning rate is multiplied by batch / 256."""


def _ordered(scale: tuple[float, float]) -> tuple[float, float]:
    if not 0 < scale[0] <= scale[1] <= 1:
        raise BadInput(f"{list(scale)} must be two shares with 0 < low <= high <= 1")
    return scale


AreaShares = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Least and largest share of an image's area."""


class EndToEnd(Frozen):
    """End-to-end fine-tuning (section 3.2); the defaults are the paper's for a ViT-B."""

    method: Literal["end_to_end"]
    epochs: int = Field(100, ge=1)
    batch_size: int = Field(128, ge=1)
    base_lr: float = Field(2.5e-4, gt=0)
    lr_scaling: Scaling = "linear256"
    min_lr: float = Field(1e-5, ge=0)
    warmup_epochs: int = Field(5, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    layer_decay: float = Field(1.0, gt=0, le=1)
    layer_decay_granularity: Literal["block", "stage"] = "block"
    """What one power of `layer_decay` covers. By block a ResNet-152 has 52 powers, the smallest of
    0.55 being 6e-14; by stage it has 6."""
    drop_path: float = Field(0.2, ge=0, lt=1)
    pool: Pool = "auto"
    augmentation: Literal["none", "paper", "randaugment"] = "paper"
    """`paper`: crop and resize, horizontal flip p = 0.5, rotation within 7 degrees (section 3).
    `randaugment`: random resized crop, flip, two random operations (section 3.2)."""
    augmentation_path: Literal["tensor", "pil"] = "tensor"
    """Who computes RandAugment: torchvision on whole tensors (also on a GPU), or timm on PIL."""
    magnitude: float = Field(6.0, ge=0, le=10)
    """Of RandAugment, on timm's scale of 0 to 10."""
    crop_scale: AreaShares = (0.08, 1.0)
    """Share of the image's area that RandAugment's crop keeps."""
    select: Literal["val_best", "last"] = "val_best"
    """Weights that predict: best epoch by validation mean AUC, or the last epoch."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """With it, an exponential moving average of the weights is validated and predicts."""
    precision: Precision = "auto"
    micro_batch: int | None = Field(None, ge=1)
    """Images at once through the network; null means the whole batch, and half of it again and
    again where memory runs out. The gradient is that of the whole batch either way."""
    checkpoint_activations: bool = False
    """Compute activations again instead of keeping them: less memory, a quarter slower."""
    channels_last: bool = False
    compile: bool = False
    deterministic: bool = True
    """Deterministic kernels where they exist; false may be faster on a GPU."""


class LinearProbe(Frozen):
    """A linear head on frozen features; recipes hold MAE's and MoCo v3's official settings."""

    method: Literal["linear_probe"]
    epochs: int = Field(90, ge=1)
    batch_size: int = Field(1024, ge=1)
    optimizer: Literal["adamw", "lars", "sgd"] = "adamw"
    lr: float = Field(1e-2, gt=0)
    """Peak learning rate, before its scaling."""
    lr_scaling: Scaling = "absolute"
    warmup_epochs: int = Field(10, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    normalise: bool = True
    """Batch normalisation without affine terms before the linear layer (MAE)."""
    pool: Pool = "auto"
    views: int = Field(1, ge=1)
    """Pictures of each training image that features are kept of. With 1 it is the image itself:
    the official recipes crop and flip anew each epoch, so that is a deviation. Of more, epoch e
    sees view e mod `views`, each a random resized crop with a flip p = 0.5."""
    precision: Precision = "auto"
    """In which the frozen network computes features; heads train in float32."""
    select: Literal["val_best", "last"] = "val_best"

    @model_validator(mode="after")
    def _images_to_normalise(self) -> LinearProbe:
        if self.normalise and self.batch_size == 1:
            raise BadInput("batch_size 1 has nothing to normalise over; set 2, or normalise: false")
        return self


Adaptation = Annotated[EndToEnd | LinearProbe, Field(discriminator="method")]
