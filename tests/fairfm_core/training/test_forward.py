"""What a network predicts: the classifier computes in 32 bits, whatever the network does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.models.backbones import build_backbone
from fairfm_core.training.augmentation.transforms import to_input
from fairfm_core.training.finetuning.stage import build_network, predict_images
from fairfm_core.training.forward import classifier_in_32_bits, forward_images

CPU = torch.device("cpu")
VIT = Backbone(name="test_vit", image_size=32, channels=1, options={"patch_size": 8, "depth": 2})
RESNET = Backbone(
    name="resnetv2_50x1_bit",
    image_size=32,
    options={"channels": [128, 128, 128, 128], "stem_chs": 32},
)
ROWS = np.arange(300)


@pytest.fixture(scope="module")
def images_NHW() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 32, 32), dtype=np.uint8)


def network(backbone: Backbone) -> nn.Module:
    recipe = EndToEnd(method="end_to_end", precision="bf16")
    return build_network(recipe, backbone, 4, 0, CPU)


@pytest.mark.parametrize("backbone", [VIT, RESNET], ids=["vit", "resnet"])
def test_rounding_to_16_bits_ties_no_images(backbone: Backbone, images_NHW: np.ndarray) -> None:
    model = network(backbone)
    scores_NP = predict_images(model, backbone, images_NHW, ROWS, CPU, "bf16")
    assert min(distinct(scores_NP)) > 290
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        coarse_NP = model(to_input(torch.from_numpy(images_NHW), backbone)).float().numpy()
    assert max(distinct(coarse_NP)) < 280  # as it would be without
    exact_NP = predict_images(model, backbone, images_NHW, ROWS, CPU, "fp32")
    np.testing.assert_allclose(scores_NP, exact_NP, atol=0.1)


def distinct(values_NP: np.ndarray) -> list[int]:
    return [len(np.unique(column)) for column in values_NP.T]


@torch.inference_mode()
def test_in_32_bits_it_changes_nothing() -> None:
    model, x_BCHW = network(VIT).eval(), torch.rand(3, 1, 32, 32)
    expected = model(x_BCHW)
    with classifier_in_32_bits(model, CPU):
        assert torch.equal(model(x_BCHW), expected)
    assert torch.equal(model(x_BCHW), expected)


def test_the_classifier_is_left_as_it_was_after_an_error() -> None:
    model = network(VIT)
    with pytest.raises(RuntimeError, match="shape"), classifier_in_32_bits(model, CPU):
        model.head(torch.zeros(2, 3))
    assert "forward" not in vars(model.head)


def test_a_network_without_a_classifier_gives_its_features(images_NHW: np.ndarray) -> None:
    model = build_backbone(VIT, method="linear_probe", pool="token", classes=0, seed=0)
    features_ND = forward_images(model, VIT, images_NHW, ROWS[:5], CPU, "bf16")
    assert features_ND.dtype == torch.float32
    assert features_ND.shape == (5, model.num_features)
