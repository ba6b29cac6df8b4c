"""Defaults stay out of fingerprints, so a changed default must raise the stage's revision.

When a test here fails: raise `REVISIONS` of the stage kind in fairfm_core/stages.py, then write the
new default down here.
"""

from __future__ import annotations

from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.evaluation import METRIC_FAMILIES, EvaluationSettings
from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED, read_pretraining
from fairfm_core.evaluation.metrics import FAMILIES
from fairfm_core.stages import REVISIONS


def test_defaults_and_revisions_are_pinned_together() -> None:
    assert REVISIONS == {
        "trunk": 1,
        "pretrain": 3,
        "weights": 1,
        "features": 2,
        "adapt": 3,
        "evaluate": 3,
    }
    assert Backbone(name="x").model_dump() == {
        "name": "x",
        "image_size": 224,
        "channels": 3,
        "normalisation": "cxr",
        "options": {},
        "crop_pct": 1.0,
        "interpolation": "bicubic",
    }
    assert EndToEnd(method="end_to_end").model_dump() == {
        "method": "end_to_end",
        "epochs": 100,
        "batch_size": 128,
        "base_lr": 2.5e-4,
        "lr_scaling": "linear256",
        "min_lr": 1e-5,
        "warmup_epochs": 5,
        "weight_decay": 0.05,
        "betas": (0.9, 0.95),
        "layer_decay": 1.0,
        "layer_decay_granularity": "block",
        "drop_path": 0.2,
        "pool": "auto",
        "augmentation": "paper",
        "augmentation_path": "tensor",
        "magnitude": 6.0,
        "crop_scale": (0.08, 1.0),
        "loss": {"name": "bce"},
        "select": "val_best",
        "ema_decay": None,
        "precision": "auto",
        "micro_batch": None,
        "checkpoint_activations": False,
        "channels_last": False,
        "compile": False,
        "deterministic": True,
    }
    assert LinearProbe(method="linear_probe").model_dump() == {
        "method": "linear_probe",
        "epochs": 90,
        "batch_size": 1024,
        "optimizer": "adamw",
        "lr": 1e-2,
        "lr_scaling": "absolute",
        "rate_per": "step",
        "warmup_epochs": 10,
        "weight_decay": 0.0,
        "normalise": True,
        "pool": "auto",
        "views": 1,
        "loss": {"name": "bce"},
        "precision": "auto",
        "select": "val_best",
    }
    shared = {
        "fraction": 1.0,
        "exclude_eval_patients": True,
        "exclude_duplicates": True,
        "epochs": 800,
        "epoch_axis": "separate",
        "decay": 0.2,
        "warmup_epochs": 40,
        "batch_size": 4096,
        "base_lr": 1.5e-4,
        "min_lr": 0.0,
        "weight_decay": 0.05,
        "betas": (0.9, 0.95),
        "augmentation": "crop",
        "crop_scale": (0.2, 1.0),
        "precision": "auto",
        "seed": 0,
        "digest": None,
    }
    own = {
        "mae": {
            "mask_ratio": 0.75,
            "norm_pix": True,
            "decoder_dim": 512,
            "decoder_depth": 8,
            "decoder_heads": 16,
            "micro_batch": None,
        },
        "mocov3": {
            "temperature": 0.2,
            "momentum": 0.99,
            "hidden_dim": 4096,
            "projection_dim": 256,
        },
    }
    assert own.keys() == SELF_SUPERVISED.keys()
    for method, values in own.items():
        pretraining = read_pretraining({"method": method, "corpora": ("c",)})
        assert pretraining.model_dump(exclude={"method", "corpora"}) == shared | values
    settings = EvaluationSettings().model_dump()
    assert {
        name: settings[name]
        for name in (
            *("protocols", "attributes", "age_edges", "replicates"),
            *("metrics", "operating_points", "resampling", "intervals"),
        )
    } == {
        "protocols": ("full",),
        "attributes": ("sex", "race"),
        "age_edges": (40.0, 60.0, 80.0),
        "replicates": 200,
        "metrics": METRIC_FAMILIES,
        "operating_points": ("fpr=0.2",),
        "resampling": "patients",
        "intervals": "bootstrap",
    }
    assert set(METRIC_FAMILIES) <= set(FAMILIES)
