"""The images a backbone takes: names and numbers of normalisation, crop and interpolation."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fairfm_core.config.backbone import NORMALISATION, Backbone, Statistics


def seen(**fields: Any) -> Backbone:
    return Backbone.model_validate({"name": "x", **fields})


def test_the_published_statistics() -> None:
    """Medical MAE's radiographs, ImageNet (torchvision), and BiT's scale of -1 to 1."""
    assert NORMALISATION == {
        "cxr": ((0.5056, 0.5056, 0.5056), (0.252, 0.252, 0.252)),
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    }


@pytest.mark.parametrize(
    "given",
    [
        {"mean": 0.53, "std": 0.23},
        {"mean": [0.53], "std": [0.23]},
        {"mean": [0.53, 0.53, 0.53], "std": 0.23},
        Statistics(mean=(0.53,), std=(0.23,)),
    ],
)
def test_numbers_are_one_identity_however_written(given: Any) -> None:
    backbone = seen(normalisation=given)
    assert backbone.content()["normalisation"] == {"mean": [0.53], "std": [0.23]}
    assert backbone.statistics == ((0.53,) * 3, (0.23,) * 3)
    assert Backbone.model_validate(backbone.model_dump(mode="json")) == backbone


def test_mean_0_and_std_1_leave_pixels_as_they_are() -> None:
    assert seen(normalisation={"mean": 0, "std": 1}).statistics == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize("name", NORMALISATION)
def test_numbers_that_have_a_name_become_it(name: str) -> None:
    mean, std = NORMALISATION[name]
    assert seen(normalisation={"mean": list(mean), "std": list(std)}) == seen(normalisation=name)
    assert seen(normalisation=name).statistics == (mean, std)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"normalisation": "image-net"}, r"'image-net' is not known \(did you mean 'imagenet'"),
        ({"normalisation": 0.5}, r"a name \(cxr, imagenet, half\) or numbers, \{mean: 0.5056"),
        ({"normalisation": {"mean": 0.5}}, "or numbers"),
        ({"normalisation": {"mean": 0.5, "std": 0.2, "n": 1}}, "or numbers"),
        ({"normalisation": {"mean": [0.5, 0.5], "std": 0.2}}, "mean is one number or a list of th"),
        ({"normalisation": {"mean": "0.5", "std": 0.2}}, "mean is one number"),
        ({"normalisation": {"mean": True, "std": 0.2}}, "mean is one number"),
        ({"normalisation": {"mean": 128.9, "std": 64.3}}, "mean must be from 0 to 1.*divide"),
        ({"normalisation": {"mean": 0.5, "std": 0}}, "std must be above 0, not 0"),
        ({"normalisation": {"mean": float("nan"), "std": 0.2}}, "mean must be from 0"),
        (
            {"channels": 1, "normalisation": {"mean": [0.5, 0.4, 0.3], "std": 0.2}},
            "three numbers and the backbone one channel",
        ),
        ({"crop_pct": 1.5}, "above 0 and up to 1, not 1.5"),
        ({"interpolation": "linear"}, r"'linear' is not known \(did you mean 'bilinear'"),
    ],
)
def test_impossible_images_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        seen(**fields)
