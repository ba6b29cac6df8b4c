"""Masked autoencoding (He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners").

Most patches of an image are hidden, an encoder sees only the others, and a small decoder predicts
the pixels that were hidden (their section 3). The encoder is timm's VisionTransformer: its own
state_dict is the pre-trained weights.

Attention has no order but that of the position tables, so tokens are never put back in the image's
order: class token, visible patches, then hidden ones. What is gathered is pixels and fixed tables,
which need no gradient, and what is not needed is not computed: hidden patches are not embedded,
visible ones not predicted.

Suffixes: B images, C channels, H and W pixels, N patches of an image, V visible and M hidden ones
of them, T = 1 + V tokens with the class token, D width of the encoder, E of the decoder,
P = C * p * p pixels of a patch.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from timm.layers import LayerNorm, PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from fairfm_core.config.backbone import Backbone
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.position_tables import mae_table
from fairfm_core.seeding import stream_seed

VARIANCE_FLOOR = 1e-6
"""Added to the variance of a patch, which is 0 outside the body."""


class Masking(NamedTuple):
    """Which patches of each image are seen, and which are hidden: indices into its N."""

    visible_BV: Tensor
    masked_BM: Tensor


class MaskedAutoencoder(nn.Module):
    """Images [B, C, H, W] and noise [B, N] -> the reconstruction loss of the hidden patches."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        seed: int,
        mask_ratio: float = 0.75,
        norm_pix: bool = True,
        decoder_dim: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
    ) -> None:
        """Encoder and decoder, whose initial weights depend on the seed alone.

        Raises BadInput for a backbone, a decoder or a share of hidden patches that do not fit.
        """
        super().__init__()
        self.encoder = _vision_transformer(backbone, seed)
        self.patch: int = self.encoder.patch_embed.patch_size[0]
        self.patches: int = self.encoder.patch_embed.num_patches
        self.mask_ratio, self.norm_pix = mask_ratio, norm_pix
        needs = {
            "1 or more decoder blocks and heads": min(decoder_depth, decoder_heads) >= 1,
            "a decoder_dim that is a multiple of 4": decoder_dim > 0 and decoder_dim % 4 == 0,
            "a decoder_dim that its heads divide": decoder_dim % max(decoder_heads, 1) == 0,
            f"a mask_ratio that leaves some of {self.patches} patches visible and some hidden": (
                0 < int(self.patches * (1 - mask_ratio)) < self.patches
            ),
        }
        _refuse_unmet(backbone.name, needs)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "init", "mae"))
            self._add_decoder(backbone.channels, decoder_dim, decoder_depth, decoder_heads)
            self._initialise()

    def _add_decoder(self, channels: int, dim: int, depth: int, heads: int) -> None:
        self.decoder_embed = nn.Linear(self.encoder.embed_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.register_buffer("decoder_pos_embed", mae_table(math.isqrt(self.patches), dim))
        blocks = (Block(dim, heads, qkv_bias=True) for _ in range(depth))
        self.decoder_blocks = nn.Sequential(*blocks)
        self.decoder_norm = LayerNorm(dim)
        self.decoder_pred = nn.Linear(dim, channels * self.patch**2)

    @torch.no_grad()
    def _initialise(self) -> None:
        """Xavier-uniform matrices, the patch projection as one of them; a fixed position table.

        As in MAE's code, the projection's bias stays as torch draws that of a convolution: uniform
        within 1 / sqrt(P). Other biases are 0.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Linear) or layer is self.encoder.patch_embed.proj:
                nn.init.xavier_uniform_(layer.weight.view(len(layer.weight), -1))
            if isinstance(layer, nn.Linear) and isinstance(layer.bias, Tensor):
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.encoder.cls_token, std=0.02)
        nn.init.normal_(self.mask_token, std=0.02)
        table_1ND = mae_table(math.isqrt(self.patches), self.encoder.embed_dim)
        self.encoder.pos_embed.requires_grad_(False).copy_(table_1ND)

    def noise(self, images: int, generator: torch.Generator) -> Tensor:
        """Noise [B, N] that decides which patches are hidden, from the given generator."""
        return torch.rand(images, self.patches, generator=generator, device=generator.device)

    def forward(self, images_BCHW: Tensor, noise_BN: Tensor) -> Tensor:
        """Mean squared error over the pixels of the hidden patches: a number, in float32."""
        patches_BNP, masking = self._masked(images_BCHW, noise_BN)
        pixels_BMP = self.predict(patches_BNP, masking)
        targets_BMP = self.targets(patches_at(patches_BNP, masking.masked_BM))
        return F.mse_loss(pixels_BMP.to(targets_BMP.dtype), targets_BMP)

    def predict(self, patches_BNP: Tensor, masking: Masking) -> Tensor:
        """The hidden patches as predicted from the visible ones: [B, M, P]."""
        visible_BVP = patches_at(patches_BNP, masking.visible_BV)
        return self.decode(self.encode(visible_BVP, masking.visible_BV), masking)

    def encode(self, patches_BVP: Tensor, places_BV: Tensor) -> Tensor:
        """Tokens [B, T, D] of these patches at these places, as timm's forward_features."""
        vit = self.encoder
        projection = vit.patch_embed.proj
        # A convolution over patches that do not overlap is one product with each patch.
        x_BVD = F.linear(patches_BVP, projection.weight.flatten(1), projection.bias)
        x_BVD = vit.patch_embed.norm(x_BVD)
        x_BTD = torch.cat([vit.cls_token.expand(len(x_BVD), -1, -1), x_BVD], dim=1)
        x_BTD = vit.norm_pre(vit.pos_drop(x_BTD + _positions(vit.pos_embed, places_BV)))
        tokens_BTD: Tensor = vit.norm(vit.blocks(x_BTD))
        return tokens_BTD

    def decode(self, tokens_BTD: Tensor, masking: Masking) -> Tensor:
        """Pixels [B, M, P] of the hidden patches from the tokens of the visible ones."""
        batch, hidden = masking.masked_BM.shape
        known_BTE = self.decoder_embed(tokens_BTD)
        x_BSE = torch.cat([known_BTE, self.mask_token.expand(batch, hidden, -1)], dim=1)  # S = 1+N
        table_1SE = self.get_buffer("decoder_pos_embed")
        x_BSE = self.decoder_blocks(x_BSE + _positions(table_1SE, torch.cat(masking, dim=1)))
        pixels_BMP: Tensor = self.decoder_pred(self.decoder_norm(x_BSE[:, -hidden:]))
        return pixels_BMP

    @torch.no_grad()
    def targets(self, patches_BMP: Tensor) -> Tensor:
        """Targets in float32: the pixels or, with `norm_pix`, their z-scores within each patch."""
        level_BM1, spread_BM1 = self._level_and_spread(patches_BMP)
        return (patches_BMP - level_BM1) / spread_BM1

    def _masked(self, images_BCHW: Tensor, noise_BN: Tensor) -> tuple[Tensor, Masking]:
        patches_BNP = patchify(images_BCHW, self.patch)
        assert noise_BN.shape == patches_BNP.shape[:2] == (len(images_BCHW), self.patches)
        return patches_BNP, random_masking(noise_BN.to(patches_BNP.device), self.mask_ratio)

    def _level_and_spread(self, patches_BMP: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and unbiased standard deviation of each patch, at least in float32; raw: 0 and 1."""
        pixels_BMP = patches_BMP.to(torch.promote_types(patches_BMP.dtype, torch.float32))
        if not self.norm_pix:
            return pixels_BMP.new_zeros(1, 1, 1), pixels_BMP.new_ones(1, 1, 1)
        variance_BM1, mean_BM1 = torch.var_mean(pixels_BMP, dim=2, correction=1, keepdim=True)
        return mean_BM1, (variance_BM1 + VARIANCE_FLOOR).sqrt()


def random_masking(noise_BN: Tensor, ratio: float) -> Masking:
    """The int(N * (1 - ratio)) patches with the least noise of each image are visible."""
    # Stable, so that equal noise hides the same patches on every device.
    order_BN = noise_BN.argsort(dim=1, stable=True)
    visible = int(noise_BN.shape[1] * (1 - ratio))
    return Masking(order_BN[:, :visible], order_BN[:, visible:])


def patchify(images_BCHW: Tensor, patch: int) -> Tensor:
    """Patches row by row, the pixels of each as a convolution's kernel has them: [B, N, P]."""
    B, C, H, W = images_BCHW.shape
    tiles = images_BCHW.reshape(B, C, H // patch, patch, W // patch, patch)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * patch * patch)


def patches_at(patches_BNP: Tensor, places_BV: Tensor) -> Tensor:
    """The patches at each image's own places: [B, V, P]."""
    return patches_BNP.take_along_dim(places_BV[:, :, None], dim=1)


def _positions(table_1ND: Tensor, places_BV: Tensor) -> Tensor:
    """The class token's row of a table, then those of the patches at these places: [B, T, D]."""
    return table_1ND[0, F.pad(places_BV + 1, (1, 0))]


def _vision_transformer(backbone: Backbone, seed: int) -> Any:
    """timm's VisionTransformer without a head, the class token its feature; raises BadInput."""
    # `auto` is the class token for a probe, and lets other families come as far as the refusal.
    vit: Any = build_backbone(backbone, method="linear_probe", pool="auto", classes=0, seed=seed)
    plain = type(vit) is VisionTransformer and type(vit.patch_embed) is PatchEmbed
    _refuse_unmet(backbone.name, {"timm's VisionTransformer on plain patches": plain})
    tokens = 1 + vit.patch_embed.num_patches
    high, wide = vit.patch_embed.patch_size
    needs = {
        "position embeddings of one class token and the patches": (
            vit.has_class_token and vit.pos_embed is not None and vit.pos_embed.shape[1] == tokens
        ),
        "a width that is a multiple of 4": vit.embed_dim % 4 == 0,
        "square patches of 2 pixels or more": high == wide >= 2,
        f"an image_size that is a multiple of its patch's {high}": backbone.image_size % high == 0,
        "patch_drop_rate 0": isinstance(vit.patch_drop, nn.Identity),
    }
    _refuse_unmet(backbone.name, needs)
    return vit


def _refuse_unmet(name: str, needs: dict[str, bool]) -> None:
    """Raises BadInput with the first need that is not met."""
    for need in (need for need, met in needs.items() if not met):
        raise BadInput(f"masked autoencoding of {name!r} needs {need}")
