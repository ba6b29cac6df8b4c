"""What a plan says of images, training, and differences that no axis names."""

from __future__ import annotations

from typing import Any

import pytest

from fairfm_core.data.manifest import Digests, Manifest
from sweeps.planning.comparison import Comparison, comparison, look_text
from sweeps.planning.expansion import expand, settled
from sweeps.planning.study import StudySpec

from .test_shared_settings import MAE, MAE_M, OWN, PROBE, TUNE, study

MOCO = {"model": "mocov3", "file": "moco.pth.tar"}


def manifest(size: int = 256, **changes: Any) -> Manifest:
    fields = {"kind": "table", "size": size, "interpolation": "bicubic", "notes": {}}
    made = {"counts": {"images": 1}, "origin": {}, "digests": Digests(images="0", cohort="0")}
    return Manifest.model_validate({**fields, **made, "request": "", **changes})


STORES = {"d": manifest(), "corpus": manifest()}


def compared(spec: StudySpec, stores: dict[str, Manifest] = STORES) -> Comparison:
    return comparison(spec, expand(spec), stores, settled(spec).notes)


def test_equal_trials_are_one_line_and_no_warning() -> None:
    found = compared(study({"mae": MAE, "medical": MAE_M}, {**TUNE, "epochs": 50}))
    assert found.images == (
        "centre crop 0.875 of the side, bicubic to 224 x 224 px, cxr (mean 0.5056, std 0.252)",
        "d: stored as 256 x 256 px (bicubic)",
        "corpus: stored as 256 x 256 px (bicubic)",
    )
    assert found.training == ("end_to_end: 50 epochs, batch 128",)
    assert found.warnings == ()


def test_the_papers_own_budget_is_warned_of() -> None:
    weights = {"mae": MAE, "moco": MOCO, "medical": MAE_M}
    found = compared(study(weights, budget="by_model"))
    assert found.warnings == (
        "adaptation.epochs differs and no axis names it: 200 (weights mae, moco) and 100 (weights "
        "medical); to make it equal, set adaptation.epochs in base",
    )
    assert found.training == (
        "end_to_end: 200 epochs, batch 128 (weights mae, moco)",
        "end_to_end: 100 epochs, batch 128 (weights medical)",
    )
    assert "200 epochs from natural images and 100 epochs from medical" in found.text()[-2]


def test_a_recipe_that_differs_by_weights_is_warned_of() -> None:
    found = compared(study({"mae": MAE, "moco": MOCO}, PROBE))
    names = [line.split()[0] for line in found.warnings]
    assert names == [
        "adaptation.warmup_epochs",
        "adaptation.optimizer",
        "adaptation.lr",
        "adaptation.rate_per",
        "adaptation.normalise",
    ]
    assert "lars (weights mae) and sgd (weights moco)" in found.warnings[1]
    (layers,) = compared(study({"mae": MAE, "scratch": "scratch"})).warnings
    assert "adaptation.layer_decay" in layers
    assert "0.55 (weights mae) and 1.0 (weights scratch) (recipes decay" in layers


AXES: dict[str, dict[str, Any]] = {
    "value": {"adaptation.epochs": [10, 20]},
    "whole": {"adaptation": {"a": {**TUNE, "epochs": 10}, "b": {**TUNE, "epochs": 20}}},
    "recipe": {"adaptation.recipe": ["paper", "smoke"]},
    "method": {"adaptation": {"a": TUNE, "b": PROBE}},
    "crop": {"images.crop": [0.8, 1.0]},
    "network": {"backbone.crop_pct": [0.8, 1.0]},
}


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_what_an_axis_names_is_no_warning(axes: dict[str, Any]) -> None:
    matrix = {"weights": {"mae": MAE, "medical": MAE_M}, **axes}
    assert compared(study({}, matrix=matrix)).warnings == ()


def test_an_axis_names_only_its_own_differences() -> None:
    """Within one label of the axis, the weights still differ in epochs."""
    matrix = {
        "weights": {"mae": MAE, "medical": MAE_M},
        "adaptation": {"a": TUNE, "b": {**TUNE, "epochs": 5}},
    }
    (line,) = compared(study({}, matrix=matrix, budget="by_model")).warnings
    assert "200 (weights mae) and 100 (weights medical)" in line


def test_what_a_trial_writes_is_no_warning() -> None:
    include = [{"name": "short", "adaptation": {"epochs": 3}}, {"name": "same", "weights": MAE_M}]
    base = {"data": {"dataset": "d"}, "adaptation": TUNE, "weights": MAE}
    spec = study({}, base=base, matrix={}, include=include)
    assert compared(spec).warnings == ()
    (line,) = compared(
        StudySpec.model_validate(spec.model_dump() | {"budget": "by_model"})
    ).warnings
    assert "200 (base) and 100 (same)" in line  # `short` writes its own


def test_statistics_crop_and_input_that_differ_are_warned_of() -> None:
    official = {**TUNE, "recipe": "official"}
    (line,) = compared(study({"mae": MAE, "medical": MAE_M}, official)).warnings
    assert line == (
        "the normalisation of images differs and no axis names it: imagenet (mean 0.485 0.456 "
        "0.406, std 0.229 0.224 0.225) (weights mae) and cxr (mean 0.5056, std 0.252) (weights "
        "medical); to make it equal, set images.normalisation"
    )
    sizes = {"a": {"name": "vit_base_patch16_224"}, "b": {"image_size": 96}}
    matrix = {"weights": {"mae": MAE}, "images": {"a": {"crop": 0.9}, "b": {}}}
    assert compared(study({}, matrix=matrix)).warnings == ()
    assert compared(study({}, matrix={"weights": {"mae": MAE}, "backbone": sizes})).warnings == ()


def test_stores_of_two_sizes_are_warned_of() -> None:
    matrix = {"data.dataset": {"small": "s", "large": "d", "cropped": "c"}}
    stores = {"d": manifest(), "s": manifest(64), "c": manifest(resize="crop")}
    found = compared(study({}, matrix=matrix), stores)
    assert found.warnings == (
        "the stored size of images differs and no axis names it: 64 px, bicubic (dataset small), "
        "256 px, bicubic (dataset large) and 256 px, bicubic, aspect kept by cropping (dataset "
        "cropped); to make it equal, prepare them with the same --size and --resize",
    )
    assert "s: the 64 px that evaluation sees are enlarged to 224" in found.images[-1]
    weights = {"a": OWN, "b": {"pretraining": {**OWN["pretraining"], "corpora": ["s"]}}}
    (line,) = compared(study(weights), {**stores, "corpus": manifest()}).warnings
    assert "corpora's images differs" in line
    assert "256 px (weights a) and 64 px (weights b)" in line


def test_a_crop_that_would_enlarge_names_the_size_to_prepare() -> None:
    found = compared(study({"mae": MAE}), {"d": manifest(224)})
    assert found.images[-1] == (
        "d: the 196 px that evaluation sees are enlarged to 224; `fairfm data prepare --size 256` "
        "stores enough"
    )


def test_a_look_in_words() -> None:
    numbers = {"mean": 0.53, "std": [0.2, 0.3, 0.4]}
    images = {"crop": 1, "normalisation": numbers, "interpolation": "bilinear"}
    (trial, *_) = expand(study({"mae": MAE}, images=images))
    assert look_text(trial.trial.backbone) == (
        "whole image, bilinear to 224 x 224 px, mean 0.53, std 0.2 0.3 0.4"
    )
