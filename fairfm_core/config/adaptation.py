"""How a network is adapted to its labels: two methods, every field of which a study may set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fairfm_core.config.frozen import AreaShares, Frozen, Precision
from fairfm_core.config.methods.losses import CROSS_ENTROPY, LOSSES, AnyLoss
from fairfm_core.errors import BadInput

Pool = Literal["auto", "avg", "token"]
Beta = Annotated[float, Field(ge=0, lt=1)]
Scaling = Literal["linear256", "absolute"]
"""`linear256`: the learning rate is multiplied by batch / 256."""


class EndToEnd(Frozen):
    """End-to-end fine-tuning (section 3.2); the defaults are the paper's for a ViT-B."""

    method: Literal["end_to_end"]
    """The whole network is trained."""
    epochs: int = Field(100, ge=1)
    """Length of the schedule."""
    batch_size: int = Field(128, ge=1)
    """Images per step."""
    base_lr: float = Field(2.5e-4, gt=0)
    """Peak learning rate, before scaling."""
    lr_scaling: Scaling = "linear256"
    """`linear256`: the learning rate is multiplied by batch / 256; `absolute`: taken as it is."""
    min_lr: float = Field(1e-5, ge=0)
    """Learning rate at the end of the cosine."""
    warmup_epochs: int = Field(5, ge=0)
    """Epochs in which the learning rate rises from 0 to its peak."""
    weight_decay: float = Field(0.05, ge=0)
    """AdamW's weight decay; biases and normalisation layers have none."""
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    """AdamW's decay rates of its two moments."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor of the learning rate from each block to the one below it; 1 is none."""
    layer_decay_granularity: Literal["block", "stage"] = "block"
    """What one power of `layer_decay` covers. By block a ResNet-152 has 52 powers, of which the
    smallest, for 0.55, is 6e-14; by stage it has 6."""
    drop_path: float = Field(0.2, ge=0, lt=1)
    """Largest probability with which a block is skipped (stochastic depth)."""
    pool: Pool = "auto"
    """Features of a transformer: the class token or the mean of the patches. `auto` is as the
    method was published: the mean when fine-tuning, the token under a probe."""
    augmentation: Literal["none", "paper", "randaugment"] = "paper"
    """`paper`: crop and resize, horizontal flip p = 0.5, rotation within 7 degrees (section 3).
    `randaugment`: random resized crop, flip, two random operations (section 3.2)."""
    augmentation_path: Literal["tensor", "pil"] = "tensor"
    """What computes RandAugment: torchvision on whole tensors (also on a GPU), or timm on PIL
    images."""
    magnitude: float = Field(6.0, ge=0, le=10)
    """Strength of RandAugment's operations, on timm's scale of 0 to 10."""
    crop_scale: AreaShares = (0.08, 1.0)
    """Share of the image's area that RandAugment's crop keeps."""
    loss: AnyLoss = CROSS_ENTROPY
    """A name, or a mapping of `name` and the loss's parameters."""
    select: Literal["val_best", "last"] = "val_best"
    """Which epoch's weights predict: the best by validation mean AUC, or the last."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """If set, an exponential moving average of the weights is validated and predicts."""
    precision: Precision = "auto"
    """`auto`: that of the study; else bfloat16 on a GPU that supports it, float16 on an older GPU,
    float32 on a CPU."""
    micro_batch: int | None = Field(None, ge=1)
    """Images that pass through the network at once. Null means the whole batch, halved as often as
    needed when memory runs out. The gradient is that of the whole batch either way."""
    checkpoint_activations: bool = False
    """Recompute activations in the backward pass: less memory, about a quarter slower."""
    channels_last: bool = False
    """Memory layout that some GPUs convolve faster."""
    compile: bool = False
    """Compile the network with `torch.compile`: a slow start, then faster steps."""
    deterministic: bool = True
    """Use deterministic kernels where they exist; false may be faster on a GPU."""


class LinearProbe(Frozen):
    """A linear head on frozen features; recipes hold MAE's and MoCo v3's official settings."""

    method: Literal["linear_probe"]
    """Only a linear layer on frozen features is trained."""
    epochs: int = Field(90, ge=1)
    """Length of the schedule."""
    batch_size: int = Field(1024, ge=1)
    """Images per step."""
    optimizer: Literal["adamw", "lars", "sgd"] = "adamw"
    """LARS is that of MAE, SGD that of MoCo v3."""
    lr: float = Field(1e-2, gt=0)
    """Peak learning rate, before scaling."""
    lr_scaling: Scaling = "absolute"
    """`linear256`: the learning rate is multiplied by batch / 256; `absolute`: taken as it is."""
    rate_per: Literal["step", "epoch"] = "step"
    """How often the learning rate changes: before each step (MAE) or each epoch (MoCo v3)."""
    warmup_epochs: int = Field(10, ge=0)
    """Epochs in which the learning rate rises from 0 to its peak."""
    weight_decay: float = Field(0.0, ge=0)
    """The optimizer's weight decay."""
    normalise: bool = True
    """Batch normalisation without affine terms before the linear layer (MAE)."""
    pool: Pool = "auto"
    """Features of a transformer: the class token or the mean of the patches. `auto` is as the
    method was published: the mean when fine-tuning, the token under a probe."""
    views: int = Field(1, ge=1)
    """Views of each training image whose features are stored. 1 is the image itself; the official
    recipes crop and flip anew each epoch, so this is a deviation. With more, epoch e sees view
    e mod `views`, each a random resized crop with a flip p = 0.5."""
    loss: AnyLoss = CROSS_ENTROPY
    """A name, or a mapping of `name` and the loss's parameters. The loss must differ from
    cross-entropy only by image weights."""
    precision: Precision = "auto"
    """Precision in which the frozen network computes features; heads train in float32."""
    select: Literal["val_best", "last"] = "val_best"
    """Which epoch's head predicts: the best by validation mean AUC, or the last."""

    @model_validator(mode="after")
    def _trainable(self) -> LinearProbe:
        if self.normalise and self.batch_size == 1:
            raise BadInput("batch_size 1 cannot be normalised; set 2 or more, or normalise: false")
        if not LOSSES[self.loss.name].only_weights:
            allowed = ", ".join(name for name, record in LOSSES.items() if record.only_weights)
            raise BadInput(
                f"a linear probe cannot train with loss {self.loss.name}; use one of {allowed}, or "
                "method: end_to_end"
            )
        return self


Adaptation = Annotated[EndToEnd | LinearProbe, Field(discriminator="method")]


SCHEDULE = {
    *("epochs", "base_lr", "lr", "lr_scaling", "rate_per", "min_lr", "warmup_epochs"),
    *("optimizer", "weight_decay", "betas", "layer_decay", "layer_decay_granularity"),
    *("augmentation", "augmentation_path", "magnitude", "crop_scale", "select"),
}
"""Fields that decide on how a network is trained, but neither on what it is nor on its memory."""


def without_schedule(adaptation: EndToEnd | LinearProbe) -> EndToEnd | LinearProbe:
    """The adaptation with each field of `SCHEDULE` at its default: equal for equal networks."""
    fields = type(adaptation).model_fields
    return adaptation.model_copy(
        update={name: fields[name].default for name in fields.keys() & SCHEDULE}
    )
