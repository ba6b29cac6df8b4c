"""Checkpoints in each official layout with random weights, and their networks written out.

Names and shapes follow the published codes, not timm; `vit_features` and `bit_features` compute
from a checkpoint alone what its network would.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fairfm_core.config.zoo import FoundationModel, user_model

State = dict[str, Tensor]

DIM, DEPTH, PATCH, GRID, HEADS = 48, 2, 8, 4, 12
SIZE = PATCH * GRID
TINY_VIT: dict[str, Any] = {
    "patch_size": PATCH,
    "embed_dim": DIM,
    "depth": DEPTH,
    "num_heads": HEADS,
}
LAYERS, CHANNELS, STEM = (3, 4, 6, 3), (128, 128, 128, 128), 32
TINY_RESNET: dict[str, Any] = {"channels": list(CHANNELS), "stem_chs": STEM}


def vit(format: str, **fields: Any) -> FoundationModel:
    """The record of a ViT of two blocks, 48 wide, for images of 32 pixels."""
    tiny: dict[str, Any] = {"image_size": SIZE, "options": TINY_VIT}
    return user_model("tiny", format, "vit_tiny_patch16_224", **(tiny | fields))


def resnet(format: str) -> FoundationModel:
    """The record of a ResNet-50 v2 as narrow as its norms of 32 groups allow."""
    return user_model(
        "tiny", format, "resnetv2_50x1_bit", options=TINY_RESNET, normalisation="half"
    )


class Random:
    """Weights that no two tensors share."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> Tensor:
        return 0.2 * torch.randn(shape, generator=self.generator)

    def linear(self, name: str, rows: int, columns: int) -> State:
        return {f"{name}.weight": self(rows, columns), f"{name}.bias": self(rows)}

    def norm(self, name: str, width: int) -> State:
        return {f"{name}.weight": 1 + self(width), f"{name}.bias": self(width)}


def transformer_block(draw: Random, name: str, dim: int) -> State:
    return {
        **draw.norm(f"{name}.norm1", dim),
        **draw.linear(f"{name}.attn.qkv", 3 * dim, dim),
        **draw.linear(f"{name}.attn.proj", dim, dim),
        **draw.norm(f"{name}.norm2", dim),
        **draw.linear(f"{name}.mlp.fc1", 4 * dim, dim),
        **draw.linear(f"{name}.mlp.fc2", dim, 4 * dim),
    }


def encoder(
    draw: Random, *, dim: int = DIM, depth: int = DEPTH, patch: int = PATCH, grid: int = GRID
) -> State:
    """MAE's encoder and MoCo v3's backbone."""
    state = {
        "cls_token": draw(1, 1, dim),
        "pos_embed": draw(1, 1 + grid * grid, dim),
        "patch_embed.proj.weight": draw(dim, 3, patch, patch),
        "patch_embed.proj.bias": draw(dim),
    }
    for number in range(depth):
        state |= transformer_block(draw, f"blocks.{number}", dim)
    return state | draw.norm("norm", dim)


def decoder(draw: Random, *, dim: int = DIM, width: int = 32, depth: int = 1) -> State:
    """MAE's decoder, whose table and mask token stand beside the encoder's tensors."""
    state = {
        "mask_token": draw(1, 1, width),
        "decoder_pos_embed": draw(1, 1 + GRID * GRID, width),
        **draw.linear("decoder_embed", width, dim),
        **draw.norm("decoder_norm", width),
        **draw.linear("decoder_pred", 3 * PATCH * PATCH, width),
    }
    for number in range(depth):
        state |= transformer_block(draw, f"decoder_blocks.{number}", width)
    return state


def mae_full(state: State) -> dict[str, Any]:
    """What MAE's code saves in pre-training."""
    weights = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.AdamW([weights])
    weights.grad = torch.ones(2)
    optimizer.step()
    return {
        "model": state,
        "optimizer": optimizer.state_dict(),
        "epoch": 799,
        "scaler": {"scale": 65536.0, "growth_factor": 2.0},
        "args": argparse.Namespace(model="mae_vit_base_patch16", mask_ratio=0.75, resume=""),
    }


def fine_tuned(draw: Random, state: State, classes: int = 14) -> State:
    """What MAE's fine-tuning saves: a norm after the mean of the patches, and a head."""
    kept = {name: value for name, value in state.items() if not name.startswith("norm.")}
    return kept | draw.norm("fc_norm", DIM) | draw.linear("head", classes, DIM)


def moco_head(draw: Random, name: str, widths: list[int]) -> State:
    """MoCo's MLP: linear layers without bias, each with a batch norm, the last one not affine."""
    state: State = {}
    for layer, (width, rows) in enumerate(pairwise(widths)):
        state[f"{name}.{3 * layer}.weight"] = draw(rows, width)
        if layer < len(widths) - 2:
            state |= draw.norm(f"{name}.{3 * layer + 1}", rows)
        norm = f"{name}.{3 * layer + 1}"
        state |= {f"{norm}.running_mean": draw(rows), f"{norm}.running_var": draw(rows).abs()}
        state[f"{norm}.num_batches_tracked"] = torch.tensor(3)
    return state


def moco(draw: Random, base: State) -> dict[str, Any]:
    """What MoCo v3's code saves, wrapped for data parallelism."""
    momentum = encoder(draw)
    parts = {
        "base_encoder": base | moco_head(draw, "head", [DIM, 64, 64, 16]),
        "momentum_encoder": momentum | moco_head(draw, "head", [DIM, 64, 64, 16]),
        "predictor": {n[5:]: v for n, v in moco_head(draw, "head", [16, 64, 16]).items()},
    }
    state = {
        f"module.{part}.{name}": value
        for part, tensors in parts.items()
        for name, value in tensors.items()
    }
    return {"epoch": 300, "arch": "vit_base", "state_dict": state, "optimizer": {}, "scaler": {}}


def bit_shapes(
    layers: tuple[int, ...], channels: tuple[int, ...], stem: int, classes: int
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of BiT's arrays: `channels` are what a stage gives, a quarter within."""
    conv, norm = "standardized_conv2d/kernel", "group_norm"
    shapes: dict[str, tuple[int, ...]] = {f"resnet/root_block/{conv}": (7, 7, 3, stem)}
    width = stem
    for block, (units, out) in enumerate(zip(layers, channels, strict=True), start=1):
        for unit in range(1, units + 1):
            place, inner = f"resnet/block{block}/unit{unit:02d}", out // 4
            kernels = {
                "a": (1, 1, width, inner),
                "b": (3, 3, inner, inner),
                "c": (1, 1, inner, out),
            }
            for letter, shape in kernels.items():
                shapes[f"{place}/{letter}/{conv}"] = shape
                shapes[f"{place}/{letter}/{norm}/gamma"] = (shape[2],)
                shapes[f"{place}/{letter}/{norm}/beta"] = (shape[2],)
            if unit == 1:
                shapes[f"{place}/a/proj/{conv}"] = (1, 1, width, out)
            width = out
    shapes |= {f"resnet/{norm}/gamma": (width,), f"resnet/{norm}/beta": (width,)}
    head = {"kernel": (1, 1, width, classes), "bias": (classes,)}
    return shapes | {f"resnet/head/conv2d/{leaf}": shape for leaf, shape in head.items()}


def bit_arrays(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """A tiny BiT, as its .npz holds it."""
    rng = np.random.default_rng(seed)
    shapes = bit_shapes(LAYERS, CHANNELS, STEM, classes=5)
    arrays = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    return {name: 1 + value / 5 if "gamma" in name else value for name, value in arrays.items()}


def vit_features(state: State, x_BCHW: Tensor, pool: str, heads: int = HEADS) -> Tensor:
    """MAE's features: the class token after `norm`, or the patches' mean after `fc_norm`."""
    x = F.conv2d(x_BCHW, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], PATCH)
    x = x.flatten(2).transpose(1, 2) + state["pos_embed"][:, 1:]
    token = (state["cls_token"] + state["pos_embed"][:, :1]).expand(len(x), -1, -1)
    x = torch.cat([token, x], dim=1)
    for number in range(DEPTH):
        block = {n: v for n, v in state.items() if n.startswith(f"blocks.{number}.")}
        x = vit_block({n.split(".", 2)[2]: v for n, v in block.items()}, x, heads)
    if pool == "token":
        return layer_norm(state, "norm", x)[:, 0]
    return layer_norm(state, "fc_norm", x[:, 1:].mean(dim=1))


def layer_norm(state: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def vit_block(state: State, x_BND: Tensor, heads: int) -> Tensor:
    B, N, D = x_BND.shape
    qkv = linear(state, "attn.qkv", layer_norm(state, "norm1", x_BND))
    q, k, v = (part.view(B, N, heads, D // heads).transpose(1, 2) for part in qkv.split(D, dim=-1))
    weights = (q @ k.transpose(-1, -2) / math.sqrt(D // heads)).softmax(dim=-1)
    x_BND = x_BND + linear(state, "attn.proj", (weights @ v).transpose(1, 2).reshape(B, N, D))
    hidden = F.gelu(linear(state, "mlp.fc1", layer_norm(state, "norm2", x_BND)))
    return x_BND + linear(state, "mlp.fc2", hidden)


def bit_features(arrays: dict[str, NDArray[np.float32]], x_BCHW: Tensor) -> Tensor:
    """Pooled features of BiT's network: pre-activation, standardised kernels, group norm of 32."""

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel = arrays[f"resnet/{name}/standardized_conv2d/kernel"]
        mean, variance = (f(kernel, axis=(0, 1, 2), keepdims=True) for f in (np.mean, np.var))
        standard = (kernel - mean) / np.sqrt(variance + 1e-10)
        weight = torch.tensor(np.einsum("hwio->oihw", standard).copy())
        return F.conv2d(x, weight, stride=stride, padding=kernel.shape[0] // 2)

    def normed(name: str, x: Tensor) -> Tensor:
        place = f"resnet/{name}group_norm"
        gamma, beta = (torch.tensor(arrays[f"{place}/{leaf}"]) for leaf in ("gamma", "beta"))
        return F.group_norm(x, 32, gamma, beta, 1e-5).relu()

    x = F.max_pool2d(F.pad(conv("root_block", x_BCHW, 2), (1, 1, 1, 1)), 3, 2)
    for block, units in enumerate(LAYERS, start=1):
        for unit in range(1, units + 1):
            place = f"block{block}/unit{unit:02d}"
            stride = 2 if unit == 1 and block > 1 else 1
            out = normed(f"{place}/a/", x)
            shortcut = conv(f"{place}/a/proj", out, stride) if unit == 1 else x
            out = normed(f"{place}/b/", conv(f"{place}/a", out))
            out = normed(f"{place}/c/", conv(f"{place}/b", out, stride))
            x = conv(f"{place}/c", out) + shortcut
    return normed("", x).mean(dim=(2, 3))


HF_NAMES = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def transformers_names(state: State, prefix: str = "") -> State:
    """The same weights as Transformers' ViTModel names them: query, key and value apart."""
    result: State = {}
    for name, value in state.items():
        owner, _, part = name.rpartition(".") if "." in name else (name, "", "")
        layer, place = owner, ""
        if owner.startswith("blocks."):
            _, number, layer = owner.split(".", 2)
            place = f"encoder.layer.{number}."
        ending = f".{part}" if part else ""
        if layer == "attn.qkv":
            for kind, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                result[f"{prefix}{place}attention.attention.{kind}{ending}"] = rows.clone()
        else:
            result[f"{prefix}{place}{HF_NAMES[layer]}{ending}"] = value
    return result


def saved(content: Any, path: Path, **options: Any) -> Path:
    """`content` as torch.save writes it."""
    torch.save(content, path, **options)
    return path
