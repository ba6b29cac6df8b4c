"""Features of the class token: equal whether or not the last block computes the other tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fairfm_core.config.backbone import Backbone
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.class_token import ClassTokenBlock, only_class_token

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "normalised keys": {"qk_norm": True},
    "no bias": {"qkv_bias": False},
    "scaled layers": {"init_values": 0.5},
    "registers": {"reg_tokens": 2},
    "normalised values": {"scale_attn_norm": True, "scale_mlp_norm": True},
}


def network(pool: str, name: str = "test_vit", **options: Any) -> Any:
    backbone = Backbone(name=name, image_size=32, options={"depth": 2, **options})
    return build_backbone(backbone, method="linear_probe", pool=pool, classes=0, seed=0).eval()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@torch.inference_mode()
def test_the_features_are_the_same(options: dict[str, Any]) -> None:
    model, x_BCHW = network("token", **options), torch.rand(3, 3, 32, 32)
    expected_BD = model(x_BCHW)
    only_class_token(model)
    assert isinstance(model.blocks[-1], ClassTokenBlock)
    torch.testing.assert_close(model(x_BCHW), expected_BD, atol=1e-5, rtol=0)


def test_other_networks_are_left_alone() -> None:
    for model in (network("avg"), network("token", "test_vit", attn_layer="diff")):
        blocks = list(model.blocks)
        only_class_token(model)
        assert list(model.blocks) == blocks
    only_class_token(torch.nn.Linear(2, 2))
