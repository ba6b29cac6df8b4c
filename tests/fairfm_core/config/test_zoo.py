"""The zoo's records say what the paper's Table 1 and the publishers say."""

from __future__ import annotations

import typing

import pytest

from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED
from fairfm_core.config.zoo import (
    FORMATS,
    MODELS,
    ZOO,
    FoundationModel,
    Normalisation,
    foundation_model,
    user_model,
)
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import TOKEN_FAMILIES, check_name, family
from fairfm_core.models.checkpoints.registry import READERS

# id -> method, domain, corpora, epochs, batch of Table 1 and section 3.2.
TABLE_1 = {
    "mae": ("masked", "natural", {"ImageNet-1K"}, 200, 128),
    "mae_med": ("masked", "medical", {"ChestX-ray14", "CheXpert", "MIMIC-CXR"}, 100, 128),
    "mocov3": ("contrastive", "natural", {"ImageNet-1K"}, 200, 128),
    "mocov3_med": ("contrastive", "medical", {"ChestX-ray14", "CheXpert"}, 100, 128),
    "bit": ("supervised", "natural", {"ImageNet-21K"}, 30, 32),
    "remedis": ("contrastive", "medical", {"CheXpert", "MIMIC-CXR"}, 20, 32),
    "scratch_vit": ("none", "none", set(), 200, 128),
    "scratch_resnet": ("none", "none", set(), 30, 32),
}
NON_COMMERCIAL = {"mae", "mocov3"}


def test_the_zoo_is_table_1_and_one_small_network() -> None:
    assert [model.id for model in MODELS] == [*TABLE_1, "effnet_lite0"]
    for name, expected in TABLE_1.items():
        model = ZOO[name]
        found = (model.method, model.domain, set(model.corpora), model.epochs, model.batch)
        assert found == expected, name


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_a_record_is_complete(model: FoundationModel) -> None:
    check_name(model.backbone)
    token = family(model.backbone) in TOKEN_FAMILIES
    assert model.pool["linear_probe"] == ("token" if token else "avg")
    assert model.pool["end_to_end"] == "avg"
    assert model.grey == (family(model.backbone) != "resnetv2")
    assert model.normalisation in typing.get_args(Normalisation)
    assert (model.format is None) == model.id.startswith("scratch")
    assert model.licence
    assert model.source
    assert ("non-commercial" in model.licence) == (model.id in NON_COMMERCIAL)


def test_a_self_supervised_model_names_the_record_of_its_method() -> None:
    names = {model.method: set[str | None]() for model in MODELS}
    for model in MODELS:
        names[model.method].add(model.self_supervised)
    assert names == {
        "masked": {"mae"},
        "contrastive": {"mocov3"},
        "supervised": {None},
        "none": {None},
    }
    assert {"mae", "mocov3"} <= SELF_SUPERVISED.keys()


def test_every_format_has_a_reader() -> None:
    assert set(FORMATS) == set(READERS)
    assert {model.format for model in MODELS} - {None} <= set(READERS)


def test_an_unknown_name_is_told_the_nearest() -> None:
    assert foundation_model("mae").title == "MAE"
    with pytest.raises(BadInput, match=r"'mocov4' is not known \(did you mean 'mocov3"):
        foundation_model("mocov4")


def test_a_users_own_model() -> None:
    model = user_model(
        "/data/own.v2.pth", "mae", "vit_small_patch16_224", image_size=384, licence="ours"
    )
    assert (model.id, model.format, model.backbone) == ("own", "mae", "vit_small_patch16_224")
    assert (model.source, model.licence, model.image_size) == ("/data/own.v2.pth", "ours", 384)
    assert model.network().image_size == 384
    with pytest.raises(BadInput, match=r"format 'mocov' is not known \(did you mean 'mocov3'"):
        user_model("x.pth", "mocov", "vit_small_patch16_224")
