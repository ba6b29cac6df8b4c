"""Momentum contrast (MoCo v3; Chen, Xie, He 2021, https://arxiv.org/abs/2104.02057).

Two views of each image pass through an encoder, a projector and a predictor to queries, and through
moving averages of encoder and projector to keys. The loss pulls a query nearer to the key of
its image's other view than to the keys of all other images on all workers. Only the encoder `base`
is kept.

Suffixes: B images of a worker, N of all workers, C channels, H height, W width, D features of the
encoder, E numbers of an embedding.
"""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from fairfm_core.config.backbone import Backbone
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.position_tables import moco_table
from fairfm_core.models.synchronised_norm import worker
from fairfm_core.seeding import stream_seed

PROJECTOR_LAYERS = {True: 3, False: 2}
"""Depth of the projector for a vision transformer (True) and, as for ResNet-50, other encoders."""
PREDICTOR_LAYERS = 2


class Contrast(NamedTuple):
    """Outputs of a forward pass."""

    loss: Tensor
    """Mean over this worker's images: gradients averaged over workers are those of the batch."""
    features_BD: Tensor
    """The encoder's output for the first views, without gradient, from which `spread` is taken."""


class MomentumContrast(nn.Module):
    """Encoder, heads and their moving averages; pre-training keeps `base.state_dict()`."""

    base: nn.Module

    def __init__(
        self,
        backbone: Backbone,
        *,
        seed: int,
        pool: str = "auto",
        hidden: int = 4096,
        embedding: int = 256,
        temperature: float = 0.2,
    ) -> None:
        """Initial weights depend on the seed alone; `auto` pools a ViT to its class token.

        Raises BadInput for a backbone that is neither a plain ViT nor convolutional.
        """
        super().__init__()
        if temperature <= 0:
            raise BadInput(f"temperature must be above 0, not {temperature}")
        base: Any = build_backbone(backbone, method="linear_probe", pool=pool, classes=0, seed=seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "moco_v3", backbone.name))
            transformer = _prepared(base, backbone.name)
            layers = PROJECTOR_LAYERS[transformer]
            # Networks with a further layer after pooling store its width under another name.
            width = getattr(base, "head_hidden_size", base.num_features)
            self.base = base
            self.projector = mlp([width, *[hidden] * (layers - 1), embedding])
            between = [hidden] * (PREDICTOR_LAYERS - 1)
            self.predictor = mlp([embedding, *between, embedding], last_norm=transformer)
        self.momentum_base = copy.deepcopy(self.base).requires_grad_(False)
        self.momentum_projector = copy.deepcopy(self.projector).requires_grad_(False)
        self.temperature = temperature

    def forward(self, first_BCHW: Tensor, second_BCHW: Tensor, momentum: float) -> Contrast:
        """Symmetrised loss of both views; first the key encoder is updated by `momentum`.

        All workers give the same number of images. Raises BadInput for a single one.
        """
        assert first_BCHW.shape == second_BCHW.shape, "the two views of a batch differ in shape"
        if len(first_BCHW) < 2:
            raise BadInput(
                "MoCo v3 needs 2 images or more for each worker: batch norm compares them"
            )
        features_BD = self.base(first_BCHW)
        first_BE = self.predictor(self.projector(features_BD))
        second_BE = self.predictor(self.projector(self.base(second_BCHW)))
        self.follow(momentum)
        loss = contrastive_loss(first_BE, self.keys(second_BCHW), self.temperature)
        loss = loss + contrastive_loss(second_BE, self.keys(first_BCHW), self.temperature)
        return Contrast(loss, features_BD.detach())

    @torch.no_grad()
    def keys(self, view_BCHW: Tensor) -> Tensor:
        """Embeddings that queries are compared with: [B, E], without gradient."""
        keys_BE: Tensor = self.momentum_projector(self.momentum_base(view_BCHW))
        return keys_BE

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Average parameters: m x average + (1 - m) x new. Running statistics are not averaged."""
        pairs = ((self.momentum_base, self.base), (self.momentum_projector, self.projector))
        for average, new in pairs:
            torch._foreach_lerp_([*average.parameters()], [*new.parameters()], 1 - momentum)


def mlp(widths: list[int], *, last_norm: bool = True) -> nn.Sequential:
    """Linear layers without bias, each with a batch norm; the last one's has no scale and shift, or
    is left out: after the predictor of a convolutional encoder the official code has none."""
    layers: list[nn.Module] = []
    for width, rows in pairwise(widths[:-1]):
        layers += [nn.Linear(width, rows, bias=False), nn.BatchNorm1d(rows), nn.ReLU(inplace=True)]
    width, rows = widths[-2:]
    layers.append(nn.Linear(width, rows, bias=False))
    if last_norm:
        layers.append(nn.BatchNorm1d(rows, affine=False))
    return nn.Sequential(*layers)


def contrastive_loss(queries_BE: Tensor, keys_BE: Tensor, temperature: float) -> Tensor:
    """2 T x cross-entropy of each query's cosines / T with the keys of all workers (InfoNCE).

    The right key of a query is its own image's. All logits equal give 2 T ln N.
    """
    with _full_precision(queries_BE.device):
        keys_NE = gathered(_directions(keys_BE))
        logits_BN = _directions(queries_BE) @ keys_NE.T / temperature
        count = len(queries_BE)
        own_B = torch.arange(count, device=logits_BN.device) + worker()[0] * count
        return 2 * temperature * F.cross_entropy(logits_BN, own_B)


@torch.no_grad()
def gathered(x_BE: Tensor) -> Tensor:
    """The rows of all workers, in the order of their ranks: [N, E], without gradient."""
    workers = worker()[1]
    if workers == 1:
        return x_BE.detach()
    parts = [torch.empty_like(x_BE) for _ in range(workers)]
    dist.all_gather(parts, x_BE.contiguous())
    return torch.cat(parts)


def momentum_at(step: float, steps: float, start: float = 0.99) -> float:
    """Momentum of the averages: from `start` at step 0, along half a cosine, to 1 at `steps`."""
    return 1 - 0.5 * (1 + math.cos(math.pi * step / steps)) * (1 - start)


def uniform_loss(count: int, temperature: float = 0.2) -> float:
    """The loss of both views if all logits are equal, as in a collapse: 4 T ln N for N images."""
    return 4 * temperature * math.log(count)


@torch.no_grad()
def spread(embeddings_BE: Tensor) -> float:
    """How far embeddings differ in direction: the mean over dimensions of the standard deviation of
    unit vectors, times sqrt(E); 1 is uniform on the sphere, 0 all the same.

    For the encoder's features: the heads' batch norms scale up whatever is left of them.
    """
    deviations_E = _directions(embeddings_BE).std(dim=0, correction=0)
    return float(deviations_E.mean() * math.sqrt(embeddings_BE.shape[1]))


def _prepared(base: nn.Module, name: str) -> bool:
    """Initialise and freeze a ViT as MoCo v3 does; returns whether `base` is one."""
    if not hasattr(base, "patch_embed"):
        return False
    if not isinstance(base, VisionTransformer) or type(base.patch_embed) is not PatchEmbed:
        raise BadInput(f"backbone {name!r} is neither a plain vision transformer nor convolutional")
    base.init_weights("moco")  # queries, keys and values apart; class token of std 1e-6
    _fix_patches(base.patch_embed.proj)
    _fix_positions(base, name)
    return True


def _fix_patches(projection: nn.Conv2d) -> None:
    """Xavier of the flattened kernel; frozen, because gradient spikes start here (section 4)."""
    outputs, *inputs = projection.weight.shape
    bound = math.sqrt(6 / (math.prod(inputs) + outputs))
    nn.init.uniform_(projection.weight, -bound, bound)
    if projection.bias is not None:
        nn.init.zeros_(projection.bias)
    projection.requires_grad_(False)


def _fix_positions(base: Any, name: str) -> None:
    """Sine-cosine positions, fixed in pre-training."""
    rows, columns = base.patch_embed.grid_size
    tokens, dim = rows * columns + 1, base.embed_dim
    plain = base.pos_embed is not None and base.pos_embed.shape == (1, tokens, dim)
    if not plain or base.cls_token is None or rows != columns or dim % 4:
        raise BadInput(
            f"backbone {name!r} lacks what MoCo v3's fixed positions need: one class token, a "
            "square of patches, positions of both, and a width that is a multiple of 4"
        )
    with torch.no_grad():
        base.pos_embed.copy_(moco_table(rows, dim))
    base.pos_embed.requires_grad_(False)


def _directions(x_BE: Tensor) -> Tensor:
    """Unit vectors, in float32 at least."""
    return F.normalize(x_BE.to(torch.promote_types(x_BE.dtype, torch.float32)), dim=1)


def _full_precision(device: torch.device) -> Any:
    """Mixed precision would round the cosines to 16 bits; the meta device has none."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
