"""Features of a fixed image: recorded when weights are converted, compared after an upgrade."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.checkpoints.registry import convert
from fairfm_core.models.weights.converted import ConvertedWeights, read_weights, write_weights
from fairfm_core.models.weights.loading import load_weights
from fairfm_core.models.weights.probe import fixed_image, probe_features, probed, verify_probe
from fairfm_core.models.weights.provenance import Probe

from ..checkpoints.published_layouts import (
    SIZE,
    Random,
    encoder,
    fine_tuned,
    saved,
    vit,
    vit_features,
)

torch.set_num_threads(1)
STATE = encoder(Random())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    convert(vit("mae"), saved(STATE, tmp_path / "mae.pth")).write(tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def changed(weights: ConvertedWeights, file: Path, **fields: object) -> ConvertedWeights:
    """The file with another record of its probe."""
    assert weights.about.probe is not None
    probe = Probe.model_validate(weights.about.probe.model_dump() | fields)
    write_weights(weights.tensors, weights.about.model_copy(update={"probe": probe}), file)
    return read_weights(file)


def load(file: Path) -> None:
    backbone = vit("mae").network()
    network = build_backbone(backbone, method="linear_probe", pool="token", classes=0, seed=0)
    load_weights(network, file)


def test_the_probe_is_what_the_published_code_computes(file: Path) -> None:
    probe = read_weights(file).about.probe
    assert probe is not None
    features = vit_features(STATE, fixed_image(3, SIZE), "token")[0]
    places = [round(place * 47 / 15) for place in range(16)]
    assert probe.values == pytest.approx(features[places].tolist(), rel=1e-3, abs=1e-4)


def test_a_fine_tuned_network_is_probed_as_it_pools(tmp_path: Path) -> None:
    state = fine_tuned(Random(1), STATE)
    converted = convert(vit("mae"), saved(state, tmp_path / "m.pth"))
    values = probe_features(converted.weights(tmp_path))
    features = vit_features(state, fixed_image(3, SIZE), "avg")[0]
    assert values[0] == pytest.approx(float(features[0]), rel=1e-3)


def test_other_features_are_refused_after_an_upgrade(file: Path) -> None:
    weights = read_weights(file)
    assert weights.about.probe is not None
    first, *rest = weights.about.probe.values
    other = changed(weights, file, timm="0.9.0", values=(first + 1, *rest))
    with pytest.raises(BadInput, match=r"other features .* recorded with timm 0\.9\.0") as caught:
        load(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="other features"):
        verify_probe(other)
    with pytest.raises(BadInput, match="other features"):
        probed(other)


def test_rounding_is_tolerated(file: Path) -> None:
    weights = read_weights(file)
    assert weights.about.probe is not None
    near = tuple(value * (1 + 1e-4) for value in weights.about.probe.values)
    verify_probe(changed(weights, file, torch="2.0", values=near))
    load(file)


def test_a_network_that_computes_otherwise_is_noticed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if another version of timm had another activation."""
    weights = changed(read_weights(file), file, timm="0.9.0")
    monkeypatch.setattr(torch.nn.GELU, "forward", lambda self, x: torch.relu(x))
    with pytest.raises(BadInput, match="other features"):
        load(weights.path)


def test_a_probe_with_values_that_are_missing_is_refused(file: Path) -> None:
    with pytest.raises(BadInput, match="other features"):
        verify_probe(changed(read_weights(file), file, values=()))


def test_a_file_without_a_probe_is_loaded(file: Path) -> None:
    weights = read_weights(file)
    write_weights(weights.tensors, weights.about.model_copy(update={"probe": None}), file)
    verify_probe(read_weights(file))
    load(file)


def test_a_publisher_s_own_features_are_compared(file: Path, tmp_path: Path) -> None:
    probe = read_weights(file).about.probe
    assert probe is not None
    path = tmp_path / "mae.pth"
    convert(replace(vit("mae"), features=probe.values), path).write(tmp_path / "a.safetensors")
    wrong = replace(vit("mae"), features=tuple(2 * value for value in probe.values))
    with pytest.raises(BadInput, match="those that the publisher of tiny gives"):
        convert(wrong, path).write(tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()
