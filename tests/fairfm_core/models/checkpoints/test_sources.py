"""What weights are is found out before anything starts: by content, never by place."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from fairfm_core.config.backbone import Backbone, PublishedWeights
from fairfm_core.config.trial import Trial
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.checkpoints.registry import convert
from fairfm_core.models.checkpoints.sources import located
from fairfm_core.models.checkpoints.stage import check_weights
from fairfm_core.stages import weights_stages

from .published_layouts import TINY_VIT, saved, vit

NETWORK = vit("timm").network()


def state(seed: int = 0) -> dict[str, torch.Tensor]:
    model = build_backbone(NETWORK, method="linear_probe", pool="auto", classes=0, seed=seed)
    return dict(model.state_dict())


def trial_of(weights: PublishedWeights) -> Trial:
    values = {
        "backbone": NETWORK.model_dump(),
        "adaptation": {"method": "linear_probe"},
        "data": {"dataset": "d"},
    }
    return Trial.model_validate(values).model_copy(update={"weights": weights})


def own(file: Path, **fields: str) -> PublishedWeights:
    return PublishedWeights(model="own", file=str(file), network=NETWORK, **fields)


def test_a_converted_file_is_the_published_one(tmp_path: Path) -> None:
    published = saved(state(), tmp_path / "w.pth")
    convert(vit("timm"), published).write(tmp_path / "w.safetensors")
    sha256 = hashlib.sha256(published.read_bytes()).hexdigest()
    before = located(own(published, format="timm"))
    after = located(own(tmp_path / "w.safetensors"))
    assert before.sha256 == after.sha256 == sha256
    assert before.format == after.format == "timm"
    assert before.network == after.network == NETWORK
    named = own(published, format="timm").model_copy(update={"model": "mine"})
    identities = {
        weights_stages(trial_of(weights))[0].fingerprint
        for weights in (before, after, located(named))
    }
    assert len(identities) == 1


def test_the_place_of_a_file_does_not_count(tmp_path: Path) -> None:
    published = saved(state(), tmp_path / "w.pth")
    (tmp_path / "there").mkdir()
    moved = Path(shutil.copy(published, tmp_path / "there" / "other.pth"))
    here, there = (located(own(file, format="timm")) for file in (published, moved))
    assert here.model_copy(update={"file": None}) == there.model_copy(update={"file": None})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "is not a converted file: give its format"),
        ({"format": "tim"}, r"format 'tim' is not known \(did you mean 'timm'\?\)"),
        ({"format": "timm", "sha256": "0" * 64}, "has SHA-256 .*, but the study says 0000"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, fields: dict[str, str], message: str) -> None:
    published = saved(state(), tmp_path / "w.pth")
    with pytest.raises(BadInput, match=message):
        located(own(published, **fields))


def test_an_absent_file_says_where_to_get_it(tmp_path: Path) -> None:
    weights = PublishedWeights(model="mae", file=str(tmp_path / "mae.pth"), network=NETWORK)
    with pytest.raises(BadInput, match=r"no file .*mae.pth; get it from https://dl.fbaipublic"):
        located(weights)


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    convert(vit("timm"), saved(state(), tmp_path / "w.pth")).write(tmp_path / "w.safetensors")
    weights = PublishedWeights(model="mae", file=str(tmp_path / "w.safetensors"), network=NETWORK)
    with pytest.raises(BadInput, match="was converted as"):
        located(weights)


def test_a_folder_is_what_its_reader_reads(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    saved(state(), folder / "pytorch_model.bin")
    before = located(own(folder, format="huggingface"))
    (folder / "README.md").write_text("a card that changed")
    assert located(own(folder, format="huggingface")) == before
    record = vit("huggingface")
    convert(record, folder).write(tmp_path / "w.safetensors")
    assert located(own(tmp_path / "w.safetensors")).sha256 == before.sha256


def test_a_format_that_contradicts_a_converted_file_is_refused(tmp_path: Path) -> None:
    convert(vit("timm"), saved(state(), tmp_path / "w.pth")).write(tmp_path / "w.safetensors")
    with pytest.raises(BadInput, match="was converted from timm, not mae"):
        located(own(tmp_path / "w.safetensors", format="mae"))


@pytest.mark.slow
def test_weights_that_do_not_fill_the_network_are_refused_without_training(
    tmp_path: Path,
) -> None:
    whole = saved(state(), tmp_path / "w.pth")
    weights = located(own(whole, format="timm"))
    check_weights(weights, NETWORK, "end_to_end", "auto")
    resized = NETWORK.model_copy(update={"image_size": 64, "channels": 1})
    check_weights(weights, resized, "linear_probe", "auto")
    deeper = Backbone(
        name=NETWORK.name, image_size=NETWORK.image_size, options={**TINY_VIT, "depth": 3}
    )
    with pytest.raises(BadInput, match="does not fill"):
        check_weights(weights, deeper, "end_to_end", "auto")
