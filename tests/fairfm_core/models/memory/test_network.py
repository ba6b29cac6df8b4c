"""What the meta device counts is what autograd really keeps, tensor by tensor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.backbone import Backbone
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.image_noise import draw_by_image
from fairfm_core.models.memory.footprint import NetworkMemory
from fairfm_core.models.memory.network import network_memory
from fairfm_core.training.checkpoint import TrainingState

from .kept_tensors import kept_bytes, kept_in_16_bits

VIT = Backbone(name="test_vit", image_size=32, channels=1, options={"patch_size": 8})
# A residual network as BiT's: standardised convolutions and group normalisation.
BIT = Backbone(name="resnetv2_50x1_bit", image_size=64)
RESNET = Backbone(name="test_resnet", image_size=64)
NETWORKS = [
    *(VIT, BIT, RESNET),
    Backbone(name="test_efficientnet", image_size=48, channels=1),
    Backbone(name="test_convnext", image_size=64),
    Backbone(name="densenet121", image_size=64),
]
BATCH, CLASSES = 6, 3


def recipe(**changes: Any) -> EndToEnd:
    values = {"batch_size": BATCH, "drop_path": 0.0, **changes}
    return EndToEnd(method="end_to_end", **values)


def counted(backbone: Backbone, **changes: Any) -> NetworkMemory:
    return network_memory(backbone, recipe(**changes), CLASSES)


def network(backbone: Backbone, drop_path: float = 0.0) -> nn.Module:
    return build_backbone(
        *(backbone,),
        **{"method": "end_to_end", "pool": "auto", "classes": CLASSES, "seed": 0},
        drop_path=drop_path,
    ).train()


def images(backbone: Backbone, batch: int = BATCH) -> Tensor:
    return torch.zeros(batch, backbone.channels, backbone.image_size, backbone.image_size)


def kept_on_cpu(model: nn.Module, inputs_BCHW: Tensor) -> int:
    return kept_bytes(lambda: model(inputs_BCHW), [*model.parameters(), *model.buffers()])


@pytest.mark.slow
@pytest.mark.parametrize("backbone", NETWORKS, ids=lambda b: b.name)
def test_activations_are_those_that_real_tensors_leave(backbone: Backbone) -> None:
    assert counted(backbone).activations == kept_on_cpu(network(backbone), images(backbone))


@pytest.mark.slow
def test_stochastic_depth_keeps_its_masks() -> None:
    model = network(VIT, drop_path=0.3)
    draw_by_image(model).draw(range(BATCH), torch.device("cpu"))
    real = kept_on_cpu(model, images(VIT))
    assert counted(VIT, drop_path=0.3).activations == real > counted(VIT).activations


def kept_by_a_gpu(backbone: Backbone) -> int:
    with torch.device("meta"):
        model = network(backbone)
    return kept_in_16_bits(
        model, lambda run: run(torch.empty(images(backbone).shape, device="cuda"))
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [*NETWORKS, Backbone(name="swin_tiny_patch4_window7_224", options={"depths": [1, 1, 1, 1]})],
    ids=lambda b: b.name,
)
def test_in_16_bits_the_rules_are_those_of_a_gpu(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which fused kernel a GPU takes depends on the GPU; attention spelled out does not.
    monkeypatch.setattr("timm.layers.config._USE_FUSED_ATTN", 0)
    assert counted(backbone).activations_16 == kept_by_a_gpu(backbone)


def test_fused_attention_keeps_no_weight_for_a_pair_of_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fused = counted(VIT)
    monkeypatch.setattr("timm.layers.config._USE_FUSED_ATTN", 0)
    assert fused.activations < counted(VIT).activations
    assert fused.activations_16 < fused.activations


def test_a_learned_bias_of_attention_is_no_obstacle() -> None:
    beit = Backbone(name="beit_base_patch16_224", options={"depth": 1})
    assert counted(beit).activations > 0


@pytest.mark.parametrize("backbone", [VIT, RESNET], ids=lambda b: b.name)
def test_state_is_that_of_a_real_step(backbone: Backbone) -> None:
    model, memory = network(backbone), counted(backbone, ema_decay=0.99)
    optimizer = torch.optim.AdamW(model.parameters())
    model(images(backbone)).sum().backward()
    optimizer.step()
    moments = [s[name] for s in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    average = ModelEmaV3(model, decay=0.99).state_dict().values()
    assert memory.parameters == sum(p.nbytes for p in model.parameters())
    assert memory.gradients == sum(gradient.nbytes for gradient in gradients)
    assert memory.optimizer == sum(moment.nbytes for moment in moments)
    assert memory.average == sum(tensor.nbytes for tensor in average)
    assert memory.parameter_count == sum(p.numel() for p in model.parameters())
    assert counted(backbone).average == 0
    state = TrainingState()
    state.keep_best(0.5, model)
    assert state.best_weights is not None
    assert memory.best == sum(tensor.nbytes for tensor in state.best_weights.values())


def test_half_the_images_at_once_keep_half() -> None:
    whole, parts = counted(VIT, batch_size=8), counted(VIT, batch_size=8, micro_batch=4)
    assert parts.activations == pytest.approx(whole.activations / 2, rel=1e-3)
    assert parts.state == whole.state
    assert counted(VIT, batch_size=8, micro_batch=99) == whole


@pytest.mark.slow
def test_checkpointed_activations_are_the_inputs_and_the_largest_block() -> None:
    model = network(VIT)
    model.set_grad_checkpointing()
    inputs = kept_on_cpu(model, images(VIT))
    block = model.blocks[0]
    tokens_BTD = torch.zeros(BATCH, 17, 64, requires_grad=True)
    inside = kept_bytes(lambda: block(tokens_BTD), [*block.parameters(), tokens_BTD])
    memory = counted(VIT, checkpoint_activations=True)
    assert memory.activations == inputs + inside < counted(VIT).activations
    assert memory.activations_16 < counted(VIT).activations_16


def test_a_probe_only_looks() -> None:
    memory = network_memory(VIT, LinearProbe(method="linear_probe"), CLASSES)
    assert memory.total == memory.total_16 == memory.parameters == 4 * memory.parameter_count
    assert memory.parameter_count < counted(VIT).parameter_count


def test_what_cannot_train_is_refused() -> None:
    one_pixel = RESNET.model_copy(update={"image_size": 32})
    with pytest.raises(BadInput, match="cannot train on 1 images at once: Expected more than 1"):
        counted(one_pixel, batch_size=1)
    with pytest.raises(BadInput, match="'vgg11' cannot checkpoint activations"):
        counted(Backbone(name="vgg11", image_size=32), checkpoint_activations=True)


@pytest.mark.slow
def test_the_networks_of_the_paper() -> None:
    """Well below 21.1 and 18.3 GB, upper bounds that count a tensor again for each view of it."""
    vit = network_memory(Backbone(name="vit_base_patch16_224"), recipe(batch_size=128), 14)
    bit = network_memory(Backbone(name="resnetv2_152x2_bit"), recipe(batch_size=32), 14)
    assert vit.parameter_count == 85_809_422
    assert vit.state == pytest.approx(1.72e9, rel=0.01)
    assert vit.activations == pytest.approx(15.0e9, rel=0.01)
    assert vit.activations_16 == pytest.approx(8.6e9, rel=0.01)
    assert bit.state == pytest.approx(4.65e9, rel=0.01)
    assert bit.activations == pytest.approx(11.7e9, rel=0.01)
    # Group normalisation computes in 32 bits and keeps a copy beside each 16-bit one.
    assert bit.activations_16 == pytest.approx(14.0e9, rel=0.01)
