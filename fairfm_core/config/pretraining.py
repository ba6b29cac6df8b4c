"""How a network is pre-trained: the two methods' settings and their presets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fairfm_core.config.adaptation import AreaShares, Precision
from fairfm_core.config.frozen import Frozen
from fairfm_core.errors import BadInput

Method = Literal["mae", "mocov3"]
OWN_FIELDS: dict[str, frozenset[str]] = {
    "mae": frozenset(
        ["mask_ratio", "norm_pix", "decoder_dim", "decoder_depth", "decoder_heads", "micro_batch"]
    ),
    "mocov3": frozenset(["temperature", "momentum", "hidden_dim", "projection_dim"]),
}
"""What one method alone is told."""


class Pretraining(Frozen):
    """Self-supervised pre-training on a union of corpora (section 4.2); defaults are MAE's own."""

    method: Method
    corpora: tuple[str, ...]
    """Folders made by `fairfm data prepare`; their images enter the identity, not these paths."""
    fraction: float = Field(1.0, gt=0, le=1)
    """Share of the patients; a smaller one of the same seed lies inside a larger one (Table 5)."""
    exclude_eval_patients: bool = True
    """Leave out the patients of the validation and test splits that the models are judged on."""
    epochs: int = Field(800, ge=1)
    """A full schedule: 200, 400 and 800 epochs are three trainings (Table 4)."""
    warmup_epochs: int = Field(40, ge=0)
    batch_size: int = Field(4096, ge=2)
    base_lr: float = Field(1.5e-4, gt=0)
    """Times batch / 256, of the whole corpus where that is a smaller batch."""
    min_lr: float = Field(0.0, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    augmentation: Literal["crop", "paper", "mocov3"] = "crop"
    """`crop`: random resized crop and flip (MAE); `paper`: and rotation within 7 degrees (section
    3); `mocov3`: and jitter, blur and solarisation, different for the two views."""
    crop_scale: AreaShares = (0.2, 1.0)
    """Share of the image's area that a crop keeps."""
    mask_ratio: float = Field(0.75, gt=0, lt=1)
    norm_pix: bool = True
    """Whether MAE's target is normalised within each patch."""
    decoder_dim: int = Field(512, ge=8)
    decoder_depth: int = Field(8, ge=1)
    decoder_heads: int = Field(16, ge=1)
    temperature: float = Field(0.2, gt=0)
    momentum: float = Field(0.99, gt=0, lt=1)
    """MoCo's, at the start; it rises to 1 along a cosine."""
    hidden_dim: int = Field(4096, ge=8)
    """Width of MoCo's projector and predictor."""
    projection_dim: int = Field(256, ge=2)
    precision: Precision = "auto"
    micro_batch: int | None = Field(None, ge=2)
    """Images at once through MAE's network. MoCo's negatives do not add up over parts: it takes no
    such number, the whole batch of a worker passes at once."""
    seed: int = Field(0, ge=0)
    """Of the pre-training and of the fraction: apart from the trial's, so that many seeds of an
    adaptation share one pre-training. Name it as an axis to repeat pre-training itself."""
    digest: str | None = None
    """What the corpora are once the evaluation's patients have left; found when a study is
    planned."""

    @field_validator("corpora")
    @classmethod
    def _some(cls, folders: tuple[str, ...]) -> tuple[str, ...]:
        if not folders or len(set(folders)) != len(folders):
            raise BadInput(f"name one or more corpora, each once, not {list(folders)}")
        return folders

    @model_validator(mode="after")
    def _fitting(self) -> Pretraining:
        foreign = frozenset[str]().union(*OWN_FIELDS.values()) - OWN_FIELDS[self.method]
        # Defaults pass: a record that was written out whole names them all.
        if given := sorted(set(self.content()) & foreign):
            owners = [method for method, names in OWN_FIELDS.items() if names & set(given)]
            raise BadInput(
                f"{self.method} has no {', '.join(given)}, which is of {', '.join(owners)}: leave "
                f"it out, or name it beside method: {owners[0]}"
            )
        return self


Values = dict[str, Any]

# Section 4.2: the official recipes, but crop to 224, flip and rotation for both methods.
PAPER: Values = {"augmentation": "paper", "crop_scale": (0.08, 1.0)}
OFFICIAL_MOCO: Values = {
    "epochs": 300,
    "betas": (0.9, 0.999),
    "weight_decay": 0.1,
    "augmentation": "mocov3",
    "crop_scale": (0.08, 1.0),
}
SMOKE: Values = {
    # Minutes on two cores: a small batch, and networks beside the encoder as small as it is.
    "warmup_epochs": 1,
    "augmentation": "paper",
    "crop_scale": (0.5, 1.0),
}
SMOKE_MAE: Values = {
    **SMOKE,
    "epochs": 20,
    "batch_size": 64,
    "base_lr": 8e-3,
    # Raw pixels, half of them: small pictures of much grain are mostly noise patch by patch.
    "mask_ratio": 0.5,
    "norm_pix": False,
    "decoder_dim": 64,
    "decoder_depth": 1,
    "decoder_heads": 4,
}
SMOKE_MOCO: Values = {
    **SMOKE,
    "epochs": 10,
    "batch_size": 128,
    "base_lr": 2e-3,
    "weight_decay": 0.1,
    "hidden_dim": 256,
    "projection_dim": 64,
}
PRETRAININGS: dict[str, dict[str, Values]] = {
    "mae": {
        "paper": PAPER,
        "official": {},
        # Its code: more is masked, raw pixels, batch 2048.
        "medical_mae": {
            "mask_ratio": 0.9,
            "norm_pix": False,
            "batch_size": 2048,
            "crop_scale": (0.5, 1.0),
        },
        "smoke": SMOKE_MAE,
    },
    "mocov3": {
        "paper": {**OFFICIAL_MOCO, "epochs": 800, **PAPER},
        "official": OFFICIAL_MOCO,
        "smoke": SMOKE_MOCO,
    },
}
