"""Memory of a pre-training: parameters by hand, activations as autograd really keeps them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import read_pretraining
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.recipes import pretraining_values
from fairfm_core.errors import BadInput
from fairfm_core.models import moco_v3
from fairfm_core.training.pretraining.memory import pretraining_memory
from fairfm_core.training.pretraining.method import implementation

from ...models.memory.kept_tensors import kept_bytes, kept_in_16_bits

VIT_B = Backbone(name="vit_base_patch16_224")
VIT = Backbone(name="test_vit", image_size=32, channels=1, options={"patch_size": 8})
RESNET = Backbone(name="test_resnet", image_size=64)
SMALL: dict[str, dict[str, Any]] = {
    "mae": {"decoder_dim": 32, "decoder_depth": 2, "decoder_heads": 2},
    "mocov3": {"hidden_dim": 48, "projection_dim": 16},
}
CASES = [("mae", VIT), ("mocov3", VIT), ("mocov3", RESNET)]
EACH = pytest.mark.parametrize(("method", "backbone"), CASES, ids=lambda v: getattr(v, "name", v))
BATCH = 6


def recipe(method: str, **changes: Any) -> Pretraining:
    given = {"method": method, "recipe": "paper", "corpora": ("data",)}
    return read_pretraining(pretraining_values({**given, **changes}))


def small(method: str, **changes: Any) -> Pretraining:
    return recipe(method, **SMALL[method], **changes)


def inputs(method: str, network: Any, backbone: Backbone, batch: int, device: str) -> list[Any]:
    size = backbone.image_size
    images_BCHW = torch.ones(batch, backbone.channels, size, size, device=device)
    noise = torch.ones(batch, getattr(network, "patches", 1), device=device)
    return {"mae": [images_BCHW, noise], "mocov3": [images_BCHW, images_BCHW.clone(), 0.99]}[method]


def kept_on_cpu(method: str, network: nn.Module, backbone: Backbone, batch: int = BATCH) -> int:
    given = inputs(method, network, backbone, batch, "cpu")
    return kept_bytes(lambda: network(*given), [*network.parameters(), *network.buffers()])


def vit_block(width: int) -> int:
    """Queries, keys, values and projection, an MLP of four times the width, two layer norms."""
    attention = 3 * width * (width + 1) + width * (width + 1)
    return attention + (width + 1) * 4 * width + (4 * width + 1) * width + 2 * 2 * width


PATCHES = 196
FROZEN = (1 + PATCHES) * 768
"""Of ViT-B: its table of positions."""
ENCODER = 12 * vit_block(768) + 768 * (768 + 1) + FROZEN + 768 + 2 * 768


def test_parameters_of_mae_on_vit_b_by_hand() -> None:
    memory = pretraining_memory(recipe("mae"), VIT_B, 4096)
    # Embedding, mask token, 8 blocks, norm, prediction; the table of positions is fixed.
    decoder = (768 + 1) * 512 + 512 + 8 * vit_block(512) + 2 * 512 + (512 + 1) * 768
    assert memory.parts == {"encoder": ENCODER, "decoder": decoder}
    assert memory.parameter_count == ENCODER + decoder == 111_806_976
    assert memory.parameters == 4 * memory.parameter_count
    assert memory.gradients == memory.optimizer / 2 == 4 * (memory.parameter_count - FROZEN)
    assert memory.average == 0


@pytest.mark.slow
def test_parameters_of_moco_v3_on_vit_b_by_hand() -> None:
    memory = pretraining_memory(recipe("mocov3"), VIT_B, 512, workers=8)
    # Without biases; hidden batch norms have scale and shift, the last ones neither.
    projector = 768 * 4096 + 4096 * 4096 + 4096 * 256 + 2 * 2 * 4096
    predictor = 256 * 4096 + 4096 * 256 + 2 * 4096
    assert memory.parts == {"encoder": ENCODER, "projector": projector, "predictor": predictor}
    assert memory.parameters == 4 * (ENCODER + projector + predictor)
    frozen = FROZEN + 768 * (768 + 1)
    assert memory.gradients == memory.optimizer / 2 == memory.parameters - 4 * frozen
    # And the running mean, variance and count (64 bits) of the projector's three batch norms.
    statistics = 4 * 2 * (4096 + 4096 + 256) + 3 * 8
    assert memory.average == 4 * (ENCODER + projector) + statistics


@EACH
def test_activations_are_those_that_real_tensors_leave(method: str, backbone: Backbone) -> None:
    network = implementation(method).build(small(method), backbone).train()
    counted = pretraining_memory(small(method), backbone, BATCH)
    assert counted.activations == kept_on_cpu(method, network, backbone)


@pytest.mark.slow
@EACH
@pytest.mark.filterwarnings("ignore:User provided device_type of 'cuda', but CUDA is not available")
def test_in_16_bits_the_rules_are_those_of_a_gpu(
    method: str, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which fused kernel a GPU takes depends on the GPU; attention spelled out does not.
    monkeypatch.setattr("timm.layers.config._USE_FUSED_ATTN", 0)
    with torch.device("meta"):
        network = implementation(method).build(small(method), backbone).train()
    kept = kept_in_16_bits(
        network, lambda run: run(*inputs(method, network, backbone, BATCH, "cuda"))
    )
    assert pretraining_memory(small(method), backbone, BATCH).activations_16 == kept


@EACH
def test_state_is_that_of_a_real_step(method: str, backbone: Backbone) -> None:
    counted = pretraining_memory(small(method), backbone, BATCH)
    training = implementation(method)(small(method), backbone, torch.device("cpu"))
    network = training.network.train()
    optimizer = torch.optim.AdamW(training.parameter_groups(), lr=1e-3)
    outcome: Any = network(*inputs(method, network, backbone, BATCH, "cpu"))
    getattr(outcome, "loss", outcome).backward()
    optimizer.step()
    moments = [s[name] for s in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert counted.gradients == sum(gradient.nbytes for gradient in gradients)
    assert counted.optimizer == sum(moment.nbytes for moment in moments)
    copies = [module for name, module in network.named_children() if name.startswith("momentum_")]
    tensors = [tensor for copy in copies for tensor in copy.state_dict().values()]
    assert counted.average == sum(tensor.nbytes for tensor in tensors)
    averaged = sum(p.nbytes for copy in copies for p in copy.parameters())
    weights = sum(parameter.nbytes for parameter in network.parameters())
    assert counted.parameters == weights - averaged


@pytest.mark.slow
def test_masked_patches_are_not_encoded() -> None:
    """Three quarters of the encoder's tokens are gone, none of the decoder's."""
    shallow, deep = ({**SMALL["mae"], "decoder_depth": depth} for depth in (1, 2))

    def kept(ratio: float, values: dict[str, Any]) -> int:
        return pretraining_memory(recipe("mae", mask_ratio=ratio, **values), VIT, 64).activations

    assert kept(0.75, deep) < kept(0.25, deep)
    blocks = [kept(ratio, deep) - kept(ratio, shallow) for ratio in (0.25, 0.75)]
    assert blocks[0] == blocks[1] > 0


@pytest.mark.slow
def test_the_batch_of_mae_may_pass_in_parts_and_that_of_moco_v3_not() -> None:
    counts = {
        size: pretraining_memory(small("mae", **({"micro_batch": size} if size else {})), VIT, 64)
        for size in (None, 16, 999)
    }
    assert counts[16].images == 16
    assert counts[16].activations == counts[None].activations / 4
    assert counts[999] == counts[None]
    assert pretraining_memory(small("mocov3"), VIT, 64).images == 64
    with pytest.raises(ValueError, match="micro_batch applies to mae, not to mocov3"):
        small("mocov3", micro_batch=16)


@pytest.mark.slow
def test_moco_v3_compares_with_the_keys_of_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_four(keys_BE: Tensor) -> Tensor:
        return keys_BE.detach().repeat(4, 1)

    alone = pretraining_memory(small("mocov3"), VIT, BATCH)
    shared = pretraining_memory(small("mocov3"), VIT, BATCH, workers=4)
    monkeypatch.setattr(moco_v3, "gathered", of_four)
    network = implementation("mocov3").build(small("mocov3"), VIT).train()
    assert alone.activations < shared.activations == kept_on_cpu("mocov3", network, VIT)


def test_what_cannot_pass_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot pass 1 images at once: MoCo v3 needs 2 images"):
        pretraining_memory(small("mocov3"), VIT, 1)
    with pytest.raises(BadInput, match="timm's VisionTransformer"):
        pretraining_memory(small("mae"), RESNET, BATCH)


@pytest.mark.slow
def test_the_papers_pretrainings_at_full_batch() -> None:
    mae = pretraining_memory(recipe("mae"), VIT_B, 4096)
    moco = pretraining_memory(recipe("mocov3"), VIT_B, 512, workers=8)
    assert mae.activations == pytest.approx(341e9, rel=0.01)
    assert mae.activations_16 == pytest.approx(195e9, rel=0.01)
    assert moco.activations == pytest.approx(120.5e9, rel=0.01)
    assert moco.activations_16 == pytest.approx(68.0e9, rel=0.01)
