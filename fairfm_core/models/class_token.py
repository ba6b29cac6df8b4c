"""A transformer's features where they are its class token: what nobody reads is not computed."""

from __future__ import annotations

from typing import Any

from timm.layers import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F


def only_class_token(model: nn.Module) -> None:
    """Let the last block of a vision transformer compute the class token alone.

    Its keys and values need all tokens; queries, projection and MLP of the others are never read
    where the features are the class token: a twelfth of a network of twelve blocks, nearly. The
    features are the same up to rounding. Other networks, and other pooling, are left as they are.
    """
    if _reads_class_token(model):
        blocks: nn.Sequential = model.blocks  # type: ignore[assignment]
        blocks[-1] = ClassTokenBlock(blocks[-1])


def _reads_class_token(model: nn.Module) -> bool:
    if type(model) is not VisionTransformer or model.global_pool != "token":
        return False
    last: Any = model.blocks[-1]  # type: ignore[index]
    return (
        bool(model.has_class_token)
        and model.attn_pool is None
        and type(last) is Block
        and type(last.attn) is Attention
        and last.attn.gate is None
    )


class ClassTokenBlock(nn.Module):
    """A block of a vision transformer in evaluation mode: tokens [B, N, D] -> class token
    [B, 1, D]."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x_BND: Tensor) -> Tensor:
        """The first of the tokens that the whole block would return."""
        block: Block = self.block
        first_B1D = x_BND[:, :1]
        first_B1D = first_B1D + block.ls1(_attend(block.attn, block.norm1(x_BND)))
        mixed: Tensor = first_B1D + block.ls2(block.mlp(block.norm2(first_B1D)))
        return mixed


def _attend(attention: Attention, x_BND: Tensor) -> Tensor:
    """What the first token takes from all, [B, 1, D]."""
    heads, width = attention.num_heads, attention.head_dim
    inner = heads * width
    weight, bias = attention.qkv.weight, attention.qkv.bias
    q_bias, kv_bias = (None, None) if bias is None else (bias[:inner], bias[inner:])
    q_B1D = F.linear(x_BND[:, :1], weight[:inner], q_bias)
    kv_BNE = F.linear(x_BND, weight[inner:], kv_bias)
    q_BH1d = q_B1D.unflatten(2, (heads, width)).transpose(1, 2)
    k_BHNd, v_BHNd = kv_BNE.unflatten(2, (2, heads, width)).permute(2, 0, 3, 1, 4).unbind(0)
    q_BH1d, k_BHNd = attention.q_norm(q_BH1d), attention.k_norm(k_BHNd)
    mixed_BH1d = F.scaled_dot_product_attention(q_BH1d, k_BHNd, v_BHNd)
    mixed_B1D = attention.norm(mixed_BH1d.transpose(1, 2).flatten(2))
    projected: Tensor = attention.proj(mixed_B1D)
    return projected
