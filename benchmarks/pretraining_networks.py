"""MAE and MoCo v3 as a user would write them from the papers, with timm's parts.

Both take over the parts of this program's networks, so that weights and losses can be compared.

Suffixes: B images, C channels, H and W pixels, N patches of an image, V visible ones of them,
T tokens, D features, P pixels of a patch, E numbers of an embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fairfm_core.models.mae import MaskedAutoencoder, patchify
from fairfm_core.models.moco_v3 import MomentumContrast

VISIBLE = 49
"""A quarter of 196 patches."""


class PlainMae(nn.Module):
    """Every patch embedded, the visible ones gathered, put back in order, every patch predicted."""

    def __init__(self, parts: MaskedAutoencoder) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, images_BCHW: Tensor, noise_BN: Tensor) -> Tensor:
        order_BN = noise_BN.argsort(dim=1)
        back_BN = order_BN.argsort(dim=1)
        mask_BN = torch.ones_like(noise_BN)
        mask_BN[:, :VISIBLE] = 0
        mask_BN = mask_BN.gather(1, back_BN)
        tokens_BTD = self._encode(images_BCHW, order_BN[:, :VISIBLE])
        predicted_BNP = self._decode(tokens_BTD, back_BN)
        target_BNP = patchify(images_BCHW, 16)
        mean, variance = target_BNP.mean(-1, keepdim=True), target_BNP.var(-1, keepdim=True)
        target_BNP = (target_BNP - mean) / (variance + 1e-6) ** 0.5
        loss_BN = ((predicted_BNP - target_BNP) ** 2).mean(dim=-1)
        return (loss_BN * mask_BN).sum() / mask_BN.sum()

    def _encode(self, images_BCHW: Tensor, keep_BV: Tensor) -> Tensor:
        vit = self.parts.encoder
        x = vit.patch_embed(images_BCHW) + vit.pos_embed[:, 1:]
        x = x.gather(1, keep_BV.unsqueeze(-1).repeat(1, 1, x.shape[-1]))
        cls = vit.cls_token + vit.pos_embed[:, :1]
        return vit.norm(vit.blocks(torch.cat([cls.expand(len(x), -1, -1), x], dim=1)))

    def _decode(self, tokens_BTD: Tensor, back_BN: Tensor) -> Tensor:
        x = self.parts.decoder_embed(tokens_BTD)
        masks = self.parts.mask_token.repeat(len(x), back_BN.shape[1] + 1 - x.shape[1], 1)
        patches = torch.cat([x[:, 1:], masks], dim=1)
        patches = patches.gather(1, back_BN.unsqueeze(-1).repeat(1, 1, x.shape[-1]))
        x = torch.cat([x[:, :1], patches], dim=1) + self.parts.decoder_pos_embed
        x = self.parts.decoder_norm(self.parts.decoder_blocks(x))
        return self.parts.decoder_pred(x)[:, 1:]


class PlainMoco(nn.Module):
    """Queries of both views, the momentum encoder's update, keys of both, two cross-entropies."""

    def __init__(self, parts: MomentumContrast) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, first_BCHW: Tensor, second_BCHW: Tensor, momentum: float) -> Tensor:
        parts = self.parts
        views = (first_BCHW, second_BCHW)
        q1, q2 = (parts.predictor(parts.projector(parts.base(x))) for x in views)
        with torch.no_grad():
            self._update(momentum)
            k1, k2 = (parts.momentum_projector(parts.momentum_base(x)) for x in views)
        return self._contrast(q1, k2) + self._contrast(q2, k1)

    def _update(self, momentum: float) -> None:
        parts = self.parts
        for new, average in (
            (parts.base, parts.momentum_base),
            (parts.projector, parts.momentum_projector),
        ):
            for p, p_m in zip(new.parameters(), average.parameters(), strict=True):
                p_m.data = p_m.data * momentum + p.data * (1 - momentum)

    def _contrast(self, q_BE: Tensor, k_BE: Tensor) -> Tensor:
        T = self.parts.temperature
        q_BE, k_BE = F.normalize(q_BE, dim=1), F.normalize(k_BE, dim=1)
        logits_BB = torch.einsum("nc,mc->nm", [q_BE, k_BE]) / T
        return F.cross_entropy(logits_BB, torch.arange(len(q_BE))) * (2 * T)
