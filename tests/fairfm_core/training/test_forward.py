"""What a network predicts: the classifier computes in 32 bits, whatever the network does."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.models.backbones import build_backbone
from fairfm_core.training.augmentation.transforms import to_input
from fairfm_core.training.finetuning.stage import build_network, predict_images
from fairfm_core.training.forward import (
    NetworkPass,
    ReadAhead,
    classifier_in_32_bits,
    cropped_images,
    forward_images,
    whole_images,
)

from ...cards import COMPUTES_IN, CPU, GPU, memory_of, needs_cards, peak_of

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


def extracted(images_NHW: np.ndarray, device: torch.device, precision: Any) -> list[torch.Tensor]:
    """Features of the images as they are, and of a view of some."""
    model = build_backbone(VIT, method="linear_probe", pool="token", classes=0, seed=0).to(device)
    seen = whole_images(VIT, images_NHW, ROWS), cropped_images(VIT, images_NHW, ROWS[:40], 1)
    return NetworkPass(model, seen, 64, device, precision).run()


def apart(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The relative difference of the features."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(one, other, strict=True))


def test_features_in_16_bits_are_nearly_those_in_32(images_NHW: np.ndarray) -> None:
    exact, coarse = (extracted(images_NHW, CPU, precision) for precision in ("fp32", "bf16"))
    assert 1e-6 < apart(coarse, exact) < 2e-2


@needs_cards()
@pytest.mark.parametrize("precision", COMPUTES_IN)
def test_a_gpu_extracts_the_features_of_a_cpu(images_NHW: np.ndarray, precision: str) -> None:
    here, there = extracted(images_NHW, CPU, "fp32"), extracted(images_NHW, GPU, precision)
    assert {each.device.type for each in there} == {"cpu"}
    assert apart(there, here) < (5e-3 if precision == "fp32" else 2e-2)


def test_where_memory_runs_out_fewer_images_pass_at_once(images_NHW: np.ndarray) -> None:
    model = network(VIT)
    whole = forward_images(model, VIT, images_NHW, ROWS, CPU, "fp32")
    sizes: list[int] = []

    def refuse(model: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        sizes.append(len(inputs[0]))
        if sizes[-1] > 20:
            raise torch.OutOfMemoryError("no room")

    model.register_forward_pre_hook(refuse)
    parts = forward_images(model, VIT, images_NHW, ROWS, CPU, "fp32")
    assert sizes[:4] == [64, 32, 16, 16]
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)


def test_the_next_batch_is_read_while_one_is_computed() -> None:
    read: list[int] = []

    def pixels(batch: int) -> torch.Tensor:
        read.append(batch)
        return torch.tensor(batch)

    with ReadAhead(pixels, 6) as take:
        assert [int(take(batch)) for batch in (0, 1, 4, 5)] == [0, 1, 4, 5]
    assert set(read) >= {0, 1, 4, 5}
    assert len(read) <= 6  # each at most once, and none beyond the last


def test_an_error_of_reading_is_raised_where_its_batch_is_taken() -> None:
    def pixels(batch: int) -> torch.Tensor:
        raise ValueError(f"changed pixels in batch {batch}")

    with ReadAhead(pixels, 2) as take, pytest.raises(ValueError, match="batch 0"):
        take(0)


@needs_cards()
def test_on_a_full_gpu_too(images_NHW: np.ndarray) -> None:
    """Room for more than half of the images that would pass at once, 4,096 tokens each."""
    large = VIT.model_copy(update={"image_size": 512})
    images = np.kron(images_NHW[:64], np.ones((16, 16), dtype=np.uint8))
    model = build_backbone(large, method="linear_probe", pool="token", classes=0, seed=0).to(GPU)
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda model, inputs: sizes.append(len(inputs[0])))

    def features(count: int) -> torch.Tensor:
        return forward_images(model, large, images, ROWS[:count], GPU, "fp32")

    whole, peaks = features(64), [peak_of(partial(features, count)) for count in (32, 64)]
    sizes.clear()
    with memory_of(sum(peaks) // 2):
        parts = features(64)
    assert max(sizes[-2:]) < 64
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-3)
