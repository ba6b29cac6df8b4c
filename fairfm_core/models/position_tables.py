"""Sine-cosine position tables as MAE and MoCo v3 fix them in pre-training: [1, 1 + G*G, D].

A quarter of the D numbers each is for the sine and cosine of row and column; MAE starts with the
column, MoCo v3 with the row. The first row of a table, for the class token, is zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TOLERANCE = 1e-5
"""The two official codes computed their tables in different precisions."""


def mae_table(grid: int, dim: int) -> Tensor:
    """MAE's table for `grid` x `grid` patches: sin and cos of the column, then of the row."""
    rows_ND, columns_ND = _waves(grid, dim)
    return _with_class_token(torch.cat([columns_ND, rows_ND], dim=1))


def moco_table(grid: int, dim: int) -> Tensor:
    """MoCo v3's table for `grid` x `grid` patches: sin and cos of the row, then of the column."""
    rows_ND, columns_ND = _waves(grid, dim)
    return _with_class_token(torch.cat([rows_ND, columns_ND], dim=1))


def table_origin(pos_embed: Tensor) -> str:
    """Origin of position embeddings [1, 1 + G*G, D]: one of the two tables, or learned."""
    tokens, dim = pos_embed.shape[-2:]
    grid = math.isqrt(max(tokens - 1, 0))
    if pos_embed.ndim != 3 or grid * grid + 1 != tokens or dim % 4:
        return "learned"
    tables = {"MAE's sine-cosine": mae_table, "MoCo v3's sine-cosine": moco_table}
    for name, table in tables.items():
        if torch.allclose(pos_embed.float(), table(grid, dim), rtol=0, atol=TOLERANCE):
            return name
    return "learned"


def _waves(grid: int, dim: int) -> tuple[Tensor, Tensor]:
    """Sines, then cosines, of each patch's row and column at D/4 frequencies: two [G*G, D/2]."""
    powers = torch.arange(dim // 4, dtype=torch.float64) / (dim // 4)
    phases = torch.arange(grid, dtype=torch.float64)[:, None] * 10000.0**-powers
    waves = torch.cat([phases.sin(), phases.cos()], dim=1)
    return waves.repeat_interleave(grid, dim=0), waves.repeat(grid, 1)


def _with_class_token(table_ND: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1, table_ND.shape[1]), table_ND.float()])[None]
