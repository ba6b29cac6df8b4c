"""Settings that every self-supervised pre-training has, whatever its method.

A method's own settings, recipes and implementation are one record in
`config/methods/self_supervised.py`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fairfm_core.config.frozen import AreaShares, Frozen, Precision
from fairfm_core.config.named_records import known_name
from fairfm_core.errors import BadInput

AUGMENTATIONS = {
    "crop": "fairfm_core.training.pretraining.views:crop_views",
    "paper": "fairfm_core.training.pretraining.views:paper_views",
    "mocov3": "fairfm_core.training.pretraining.views:mocov3_views",
}
"""The code of each kind of view: `(settings, backbone) -> (first view, second view)`."""


def known_augmentation(name: Any) -> str:
    """The name unchanged; raises BadInput for an unknown one, with the nearest known one."""
    return known_name(name, AUGMENTATIONS, "augmentation")


EpochAxis = Literal["separate", "trunk"]
"""Whether pre-trainings of several lengths share the epochs that they have in common."""


class Pretraining(Frozen):
    """Self-supervised pre-training on a union of corpora (section 4.2); defaults are MAE's own.

    Base class of the methods' settings: read one with `self_supervised.read_pretraining`.
    """

    method: str
    """Name of the method; each subclass narrows it to its own."""
    corpora: tuple[str, ...]
    """Folders made by `fairfm data prepare`; the images enter the identity, not these paths."""
    fraction: float = Field(1.0, gt=0, le=1)
    """Share of the patients; with the same seed, a smaller share is contained in a larger one
    (Table 5)."""
    exclude_eval_patients: bool = True
    """Leave out patients of the validation and test splits on which the models are evaluated."""
    exclude_duplicates: bool = True
    """Leave out patients with a copy of a validation or test image, whatever their ids. Without
    effect where `exclude_eval_patients` is false, which keeps the copies too."""
    epochs: int = Field(800, ge=1)
    """Length of the schedule: 200, 400 and 800 epochs are separate pre-trainings (Table 4), unless
    they share a trunk."""
    epoch_axis: EpochAxis = "separate"
    """`separate`: each length is a pre-training of its own, with a whole cosine. `trunk`: after the
    warm-up the learning rate stays at its peak and falls only at the end, so pre-trainings that
    differ in their length share the epochs before (warm-up, stable, decay)."""
    decay: float = Field(0.2, ge=0.05, lt=1)
    """With `epoch_axis: trunk`, the share of the epochs, at the end, in which the rate falls."""
    warmup_epochs: int = Field(40, ge=0)
    """Epochs in which the learning rate rises from 0 to its peak."""
    batch_size: int = Field(4096, ge=2)
    """Images per step over all workers; the whole corpus if that is smaller."""
    base_lr: float = Field(1.5e-4, gt=0)
    """Peak learning rate for a batch of 256; it is scaled by batch / 256."""
    min_lr: float = Field(0.0, ge=0)
    """Learning rate at the end of the cosine, or of the decay."""
    weight_decay: float = Field(0.05, ge=0)
    """AdamW's weight decay; MAE has none on biases and normalisation layers."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates of its two moments."""
    augmentation: str = "crop"
    """`crop`: random resized crop and flip (MAE). `paper`: also rotation within 7 degrees (section
    3). `mocov3`: also jitter, blur and solarisation, with different strengths in the two views."""
    crop_scale: AreaShares = (0.2, 1.0)
    """Smallest and largest share of an image's area that a random crop keeps."""
    precision: Precision = "auto"
    """`auto`: bfloat16 on a GPU that supports it, float16 on an older GPU, float32 on a CPU."""
    seed: int = Field(0, ge=0)
    """Seed of the pre-training and of `fraction`; separate from the trial's, so that many seeds of
    an adaptation share one pre-training. Make it an axis to repeat the pre-training itself."""
    digest: str | None = None
    """Digest of the corpora without the excluded patients; filled in when a study is planned."""

    _augmentation = field_validator("augmentation", mode="before")(known_augmentation)

    @field_validator("corpora")
    @classmethod
    def _some(cls, folders: tuple[str, ...]) -> tuple[str, ...]:
        if not folders or len(set(folders)) != len(folders):
            raise BadInput(f"give at least one corpus, and each only once, not {list(folders)}")
        return folders

    @model_validator(mode="after")
    def _decays_after_warmup(self) -> Pretraining:
        if self.epoch_axis == "separate":
            if "decay" in self.content():
                raise BadInput("decay needs epoch_axis: trunk; a separate schedule is a cosine")
        elif self.trunk_epochs < max(1, self.warmup_epochs):
            raise BadInput(
                f"with epoch_axis: trunk the rate of {self.epochs} epochs falls after epoch "
                f"{self.trunk_epochs}, and the warm-up has {self.warmup_epochs}: give more epochs, "
                "or lower warmup_epochs or decay"
            )
        return self

    @property
    def trunk_epochs(self) -> int:
        """With `epoch_axis: trunk`, the epochs before the rate falls."""
        return self.epochs - math.ceil(round(self.decay * self.epochs, 6))

    @property
    def images_at_once(self) -> int | None:
        """The `micro_batch` of a method whose batches may be divided; None if it has none."""
        size: int | None = getattr(self, "micro_batch", None)
        return size
