"""MoCo v3 against its formulas written out, and on two workers against one."""

from __future__ import annotations

import copy
import math
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timm.layers import SyncBatchNormAct
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.zoo import user_model
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.checkpoints.registry import convert
from fairfm_core.models.moco_v3 import (
    MomentumContrast,
    contrastive_loss,
    momentum_at,
    spread,
    uniform_loss,
)
from fairfm_core.models.position_tables import table_origin
from fairfm_core.models.synchronised_norm import SynchronisedBatchNorm, synchronised
from fairfm_core.models.weights.loading import load_weights

from ...cards import CPU, needs_cards
from .checkpoints.published_layouts import DIM, GRID, PATCH, SIZE, TINY_RESNET, TINY_VIT, saved

torch.set_num_threads(1)
VIT = Backbone(name="vit_tiny_patch16_224", image_size=SIZE, options=TINY_VIT)
RESNET = Backbone(name="resnetv2_50x1_bit", image_size=SIZE, options=TINY_RESNET)
EFFICIENTNET = Backbone(name="test_efficientnet", image_size=SIZE)
FROZEN = {
    VIT.name: {"base.pos_embed", "base.patch_embed.proj.weight", "base.patch_embed.proj.bias"}
}
T = 0.2


def contrast(backbone: Backbone = VIT, **changes: Any) -> MomentumContrast:
    settings: dict[str, Any] = {"seed": 0, "hidden": 32, "embedding": 16} | changes
    return MomentumContrast(backbone, **settings)


def views(seed: int = 1, count: int = 4, channels: int = 3) -> tuple[Tensor, Tensor]:
    drawn = torch.randn(
        2, count, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)
    )
    return drawn[0], drawn[1]


def grads(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


# The loss.


def loss_pair_by_pair(queries: Tensor, keys: Tensor) -> Tensor:
    """2T times the mean of -log(exp(s_ii / T) / sum over j of exp(s_ij / T)), s the cosine."""
    total = torch.zeros((), dtype=queries.dtype)
    for i, query in enumerate(queries):
        cosines = []
        for key in keys:
            lengths = (query * query).sum().sqrt() * (key * key).sum().sqrt()
            cosines.append((query * key).sum() / lengths)
        total = total - (cosines[i] / T - sum((c / T).exp() for c in cosines).log())
    return 2 * T * total / len(queries)


def test_loss_and_every_gradient_pair_by_pair() -> None:
    model = contrast().double()
    with torch.no_grad():
        for parameter in model.momentum_base.parameters():
            parameter.mul_(1.1)
    slow = copy.deepcopy(model)
    first, second = (view.double() for view in views())

    loss = model(first, second, momentum=0.9).loss
    loss.backward()

    q1, q2 = (slow.predictor(slow.projector(slow.base(view))) for view in (first, second))
    with torch.no_grad():
        slow.follow(0.9)
        k1, k2 = (slow.momentum_projector(slow.momentum_base(view)) for view in (first, second))
    expected = loss_pair_by_pair(q1, k2) + loss_pair_by_pair(q2, k1)
    expected.backward()

    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    found, wanted = grads(model), grads(slow)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [2, 5, 64])
def test_equal_logits_cost_4_T_ln_N(count: int) -> None:
    queries, keys = torch.randn(1, 16).expand(count, -1), torch.randn(1, 16).expand(count, -1)
    loss = 2 * contrastive_loss(queries, keys, T)
    assert float(loss) == pytest.approx(4 * T * math.log(count), rel=1e-6)
    assert uniform_loss(count, T) == pytest.approx(4 * T * math.log(count))


def test_the_loss_is_in_full_precision_within_mixed() -> None:
    queries, keys = torch.randn(2, 8, 16)
    expected = contrastive_loss(queries, keys, T)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrastive_loss(queries, keys, T), expected)
    half = contrastive_loss(queries.bfloat16(), keys.bfloat16(), T)
    assert half.dtype == torch.float32


def test_keys_get_no_gradient() -> None:
    queries, keys = torch.randn(2, 4, 16).unbind()
    queries.requires_grad_()
    keys.requires_grad_()
    contrastive_loss(queries, keys, T).backward()
    assert queries.grad is not None
    assert keys.grad is None
    model = contrast()
    model(*views(), 0.99).loss.backward()
    averages = [*model.momentum_base.parameters(), *model.momentum_projector.parameters()]
    assert not any(parameter.requires_grad for parameter in averages)
    assert all(parameter.grad is None for parameter in averages)


# The moving average.


def test_momentum_rises_from_start_to_one_by_half_a_cosine() -> None:
    assert momentum_at(0, 200) == pytest.approx(0.99)
    assert momentum_at(50, 200) == pytest.approx(1 - 0.5 * (1 + math.sqrt(0.5)) * 0.01)
    assert momentum_at(100, 200) == pytest.approx(0.995)
    assert momentum_at(200, 200) == 1.0
    assert momentum_at(100, 200, start=0.9) == pytest.approx(0.95)


def test_averages_of_parameters_alone() -> None:
    model = contrast(EFFICIENTNET)
    for value in (*model.base.state_dict().values(), *model.projector.state_dict().values()):
        value.add_(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.follow(0.75)
    parameters = dict(model.named_parameters())
    for name, value in model.state_dict().items():
        source = name.removeprefix("momentum_")
        expected = before[name]
        if source != name and name in parameters:
            expected = 0.75 * before[name] + 0.25 * before[source]
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)


def test_averages_follow_before_keys_are_computed() -> None:
    model = contrast().double()
    with torch.no_grad():
        for parameter in [*model.base.parameters(), *model.projector.parameters()]:
            parameter.mul_(1.3)
    first, second = (view.double() for view in views())
    queries = [model.predictor(model.projector(model.base(view))) for view in (first, second)]
    keys = [model.projector(model.base(view)) for view in (first, second)]
    expected = loss_pair_by_pair(queries[0], keys[1]) + loss_pair_by_pair(queries[1], keys[0])
    torch.testing.assert_close(model(first, second, momentum=0.0).loss, expected)


def test_averages_keep_running_statistics_of_their_own() -> None:
    model = contrast()
    with torch.no_grad():
        for parameter in model.base.parameters():
            parameter.mul_(1.3)
    model(*views(), 1.0)
    own, keys = model.projector[1], model.momentum_projector[1]
    assert int(own.num_batches_tracked) == int(keys.num_batches_tracked) == 2
    apart = (own.running_mean - keys.running_mean).abs().max()
    assert apart > 1e-3
    model.follow(0.0)
    assert torch.equal((own.running_mean - keys.running_mean).abs().max(), apart)


# The network.


def test_a_vit_starts_as_the_paper_says() -> None:
    base = contrast().base
    bounds = {
        "patch_embed.proj.weight": math.sqrt(6 / (3 * PATCH * PATCH + DIM)),
        "blocks.0.attn.qkv.weight": math.sqrt(6 / (DIM + DIM)),
        "blocks.1.attn.proj.weight": math.sqrt(6 / (DIM + DIM)),
        "blocks.1.mlp.fc1.weight": math.sqrt(6 / (DIM + 4 * DIM)),
    }
    state = base.state_dict()
    for name, bound in bounds.items():
        assert 0.97 * bound < float(state[name].abs().max()) <= bound, name
        assert float(state[name].std()) == pytest.approx(bound / math.sqrt(3), rel=0.05), name
    biases = [name for name in state if name.endswith("bias")]
    assert all(state[name].eq(0).all() for name in biases)
    assert 0.5e-6 < float(state["cls_token"].std()) < 1.5e-6


def test_a_grey_patch_has_a_third_of_the_inputs() -> None:
    base = contrast(VIT.model_copy(update={"channels": 1})).base
    bound = math.sqrt(6 / (PATCH * PATCH + DIM))
    assert 0.97 * bound < float(base.state_dict()["patch_embed.proj.weight"].abs().max()) <= bound


def test_positions_are_sines_and_cosines_of_row_then_column() -> None:
    positions = contrast().base.state_dict()["pos_embed"]
    assert table_origin(positions) == "MoCo v3's sine-cosine"
    assert positions[0, 0].eq(0).all()
    for row in range(GRID):
        for column in range(GRID):
            expected = [
                wave(place / 10000 ** (k / (DIM // 4)))
                for place in (row, column)
                for wave in (math.sin, math.cos)
                for k in range(DIM // 4)
            ]
            torch.testing.assert_close(
                positions[0, 1 + row * GRID + column], torch.tensor(expected)
            )


def layers(head: Any) -> list[tuple[Any, ...]]:
    kinds = {
        nn.Linear: lambda x: ("linear", x.in_features, x.out_features, x.bias is not None),
        nn.BatchNorm1d: lambda x: ("norm", x.num_features, x.affine),
        nn.ReLU: lambda x: ("relu",),
    }
    return [kinds[type(layer)](layer) for layer in head]


def hidden(width: int, rows: int) -> list[tuple[Any, ...]]:
    return [("linear", width, rows, False), ("norm", rows, True), ("relu",)]


def last(width: int, rows: int) -> list[tuple[Any, ...]]:
    return [("linear", width, rows, False), ("norm", rows, False)]


@pytest.mark.slow
def test_the_heads_of_vit_b_and_a_network_of_the_published_size() -> None:
    with torch.device("meta"):
        model = MomentumContrast(Backbone(name="vit_base_patch16_224"), seed=0)
        image = torch.empty(2, 3, 224, 224)
        assert model(image, image, 0.99).features_BD.shape == (2, 768)
    projector = hidden(768, 4096) + hidden(4096, 4096) + last(4096, 256)
    assert layers(model.projector) == layers(model.momentum_projector) == projector
    assert layers(model.predictor) == hidden(256, 4096) + last(4096, 256)
    assert len(model.state_dict()) == 342
    assert sum(parameter.numel() for parameter in model.parameters()) == 215_678_464


def test_the_heads_of_a_resnet() -> None:
    with torch.device("meta"):
        model = MomentumContrast(Backbone(name="resnetv2_50x1_bit"), seed=0)
    assert layers(model.projector) == hidden(2048, 4096) + last(4096, 256)
    # The official predictor of a ResNet ends in its linear layer: `_build_mlp(..., last_bn=False)`.
    assert layers(model.predictor) == [*hidden(256, 4096), ("linear", 4096, 256, False)]


@pytest.mark.parametrize("backbone", [VIT, RESNET, EFFICIENTNET], ids=lambda b: b.name)
def test_all_but_the_patch_projection_and_positions_learn(backbone: Backbone) -> None:
    model = contrast(backbone)
    loss, features_BD = model(*views(), 0.99)
    loss.backward()
    assert features_BD.shape == (4, getattr(model.base, "num_features", 0))
    assert not features_BD.requires_grad
    learned = {name for name in dict(model.named_parameters()) if not name.startswith("momentum_")}
    assert grads(model).keys() == learned - FROZEN.get(backbone.name, set())
    assert all(gradient.isfinite().all() for gradient in grads(model).values())


@pytest.mark.parametrize("backbone", [VIT, RESNET, EFFICIENTNET], ids=lambda b: b.name)
def test_the_encoder_is_timms_and_loads_whole(tmp_path: Path, backbone: Backbone) -> None:
    base = contrast(backbone).base
    record = user_model(
        "own", "timm", backbone.name, image_size=SIZE, options=dict(backbone.options)
    )
    file = saved(base.state_dict(), tmp_path / "base.pth")
    convert(record, file).write(tmp_path / "base.safetensors")
    network = build_backbone(backbone, method="linear_probe", pool="auto", classes=0, seed=5)
    coverage = load_weights(network, tmp_path / "base.safetensors")
    assert (coverage.missing, coverage.dropped, coverage.adapted) == ((), {}, ())
    assert coverage.loaded == len(base.state_dict())
    image = views()[0]
    assert torch.equal(network.eval()(image), base.eval()(image))


def test_a_seed_is_a_network_and_nothing_else_is_drawn() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    states = [contrast(seed=seed).state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    for part in ("base.patch_embed.proj", "projector.0", "predictor.0", "base.blocks.0.attn.qkv"):
        assert not torch.equal(states[0][f"{part}.weight"], states[2][f"{part}.weight"])


def test_averages_start_as_the_encoder() -> None:
    state = contrast().state_dict()
    averages = {name: value for name, value in state.items() if name.startswith("momentum_")}
    assert averages
    for name, value in averages.items():
        assert torch.equal(value, state[name.removeprefix("momentum_")])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("swin_tiny_patch4_window7_224", "neither a plain vision transformer nor convolutional"),
        ("vit_tiny_r_s16_p8_224", "neither a plain vision transformer nor convolutional"),
        ("deit3_small_patch16_224", "lacks what MoCo v3's fixed positions need"),
        ("deit_tiny_distilled_patch16_224", "lacks what MoCo v3's fixed positions need"),
    ],
)
def test_networks_without_a_recipe_are_refused(name: str, message: str) -> None:
    with torch.device("meta"), pytest.raises(BadInput, match=message):
        contrast(Backbone(name=name))


def test_unusable_settings_are_refused() -> None:
    with pytest.raises(BadInput, match="needs 2 images or more for each worker"):
        contrast()(*views(count=1), 0.99)
    with pytest.raises(BadInput, match="temperature must be above 0, not 0"):
        contrast(temperature=0)


# Collapse.


def test_spread_of_collapsed_and_of_random_embeddings() -> None:
    drawn = torch.randn(4096, 64, generator=torch.Generator().manual_seed(0))
    assert spread(drawn) == pytest.approx(1, abs=0.01)
    assert spread(5 * drawn) == pytest.approx(spread(drawn))
    same = drawn[:1].expand(512, -1)
    assert spread(same) == pytest.approx(0, abs=1e-6)
    assert spread(same + 1e-3 * drawn[:512]) < 2e-3


def test_the_heads_hide_a_collapse_that_the_features_show() -> None:
    model, noise = contrast(), torch.randn(64, DIM, generator=torch.Generator().manual_seed(0))
    features_BD = torch.ones(DIM) + 0.02 * noise
    assert spread(features_BD) < 0.03
    assert spread(model.projector(features_BD)) > 0.5


# Several workers.

STEPS, WORKERS, BATCH = 3, 2, 8
ROWS = (5, 3)
"""Of a batch that two workers divide unevenly."""


def trained(
    backbone: Backbone, rank: int, workers: int, device: torch.device = CPU
) -> dict[str, Tensor]:
    """Losses, the first step's gradients and the last step's weights, on a worker's share."""
    raw = contrast(backbone).double().to(device)  # so that rounding hides nothing
    model: nn.Module = synchronised(raw, device)
    model = DistributedDataParallel(model) if workers > 1 else model
    optimizer = torch.optim.SGD([p for p in raw.parameters() if p.requires_grad], 0.05, 0.9)
    found: dict[str, Tensor] = {}
    for step in range(STEPS):
        shares = (v.double().chunk(workers)[rank].to(device) for v in views(step, BATCH))
        optimizer.zero_grad()
        loss = model(*shares, momentum_at(step, STEPS, start=0.5)).loss
        loss.backward()
        found[f"loss {step}"] = mean_over_workers(loss.detach())
        found |= {f"gradient {step} {name}": g.clone() for name, g in grads(raw).items()}
        optimizer.step()
    return {name: value.cpu() for name, value in {**found, **raw.state_dict()}.items()}


def mean_over_workers(x: Tensor) -> Tensor:
    if dist.is_initialized():
        dist.all_reduce(x)
        x /= dist.get_world_size()
    return x


def rows_of_norm() -> tuple[Tensor, Tensor]:
    """A batch [8, 6, 2, 2] far from 0, and weights of its outputs in a loss."""
    drawn = torch.randn(2, sum(ROWS), 6, 2, 2, generator=torch.Generator().manual_seed(2))
    return 1000 + drawn[0].double(), drawn[1].double()


def normed(norm: nn.Module, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
    x.requires_grad_()
    y = norm(x)
    (y * weights).sum().backward()
    assert x.grad is not None
    found = {"y": y.detach(), "gradient": x.grad, **norm.state_dict()}
    return {name: value.cpu() for name, value in found.items()}


def norm_on_share(rank: int, device: torch.device = CPU) -> dict[str, Tensor]:
    parts = [t.split(ROWS)[rank].clone().to(device) for t in rows_of_norm()]
    (norm,) = synchronised(nn.Sequential(nn.BatchNorm2d(6).double().to(device)), device)
    return normed(norm, *parts)


def check_conversion_for_a_gpu() -> None:
    """timm's norm with an activation keeps it; names and tensors stay."""
    model = contrast(EFFICIENTNET).eval()
    before, expected = model.state_dict(), model.base(views()[0])
    converted: Any = synchronised(model, torch.device("cuda"))
    assert converted.state_dict().keys() == before.keys()
    kinds = {type(module) for module in converted.modules()}
    assert {SyncBatchNormAct, nn.SyncBatchNorm} <= kinds
    assert not kinds & {nn.BatchNorm1d, nn.BatchNorm2d, SynchronisedBatchNorm}
    assert torch.equal(converted.base(views()[0]), expected)


def work_on_cards(rank: int, folder: Path) -> None:
    """The same on a GPU each, through NCCL and torch's own synchronised norm."""
    torch.cuda.set_device(rank)
    device = torch.device("cuda", rank)
    address = f"file://{folder / 'meeting'}"
    dist.init_process_group("nccl", init_method=address, rank=rank, world_size=WORKERS)
    try:
        results = {b.name: trained(b, rank, WORKERS, device) for b in (VIT, EFFICIENTNET)}
        torch.save(results | {"norm": norm_on_share(rank, device)}, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def work(rank: int, folder: Path) -> None:
    """What each of two workers does; they meet over loopback through a file."""
    warnings.simplefilter("error")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    address = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=WORKERS)
    try:
        results = {b.name: trained(b, rank, WORKERS) for b in (VIT, EFFICIENTNET)}
        torch.save(results | {"norm": norm_on_share(rank)}, folder / f"{rank}.pt")
        check_conversion_for_a_gpu()
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("workers")
    mp.start_processes(work, (folder,), WORKERS, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORKERS)]


def check_training(found: dict[str, Any], backbone: Backbone) -> None:
    """What a worker has found is what one alone finds."""
    alone = trained(backbone, rank=0, workers=1)
    assert found[backbone.name].keys() == alone.keys()
    for name, value in alone.items():
        largest = max(1.0, float(value.abs().max()))
        worst = float((found[backbone.name][name] - value).abs().max())
        assert worst < 1e-9 * largest, name


def check_norm(workers: list[dict[str, Any]]) -> None:
    """The norms of unequal shares are that of the whole."""
    whole = normed(nn.BatchNorm2d(6).double(), *rows_of_norm())
    shares = [found["norm"] for found in workers]
    for part in ("y", "gradient"):
        found = torch.cat([share[part] for share in shares])
        torch.testing.assert_close(found, whole[part], rtol=1e-9, atol=1e-9)
    for share in shares:
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(share[name], whole[name], rtol=1e-12, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [VIT, EFFICIENTNET], ids=lambda b: b.name)
def test_two_workers_are_one(two_workers: list[dict[str, Any]], backbone: Backbone) -> None:
    for found in two_workers:
        check_training(found, backbone)


@pytest.mark.slow
def test_a_norm_over_unequal_shares_is_that_of_the_whole(two_workers: list[dict[str, Any]]) -> None:
    check_norm(two_workers)


@needs_cards(2)
def test_two_cards_are_one(tmp_path: Path) -> None:
    """In 64 bits, as on CPUs: networks with batch norms, and a norm of unequal shares."""
    mp.spawn(work_on_cards, (tmp_path,), nprocs=WORKERS, join=True)
    workers = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(WORKERS)]
    for backbone in (VIT, EFFICIENTNET):
        for found in workers:
            check_training(found, backbone)
    check_norm(workers)


def test_one_worker_keeps_plain_norms() -> None:
    model = contrast()
    assert synchronised(model, torch.device("cpu")) is model
    assert not any(isinstance(module, SynchronisedBatchNorm) for module in model.modules())


def test_a_synchronised_norm_at_rest_uses_what_it_learned() -> None:
    norm = nn.BatchNorm1d(6)
    norm(torch.randn(20, 6))
    x = torch.randn(4, 6)
    torch.testing.assert_close(SynchronisedBatchNorm(norm.eval())(x), norm(x))
