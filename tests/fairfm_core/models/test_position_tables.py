"""Sine-cosine tables of MAE and MoCo v3 against the formula, written out number by number."""

from __future__ import annotations

import math

import pytest
import torch
from timm.layers import build_sincos2d_pos_embed

from fairfm_core.models.position_tables import mae_table, moco_table, table_origin

GRID, DIM = 3, 16


def written_out(row: int, column: int, first: str) -> list[float]:
    """A token's D numbers: sin then cos of one axis, then of the other."""
    places = [column, row] if first == "column" else [row, column]
    quarter = DIM // 4
    return [
        wave(place / 10000 ** (k / quarter))
        for place in places
        for wave in (math.sin, math.cos)
        for k in range(quarter)
    ]


@pytest.mark.parametrize(("table", "first"), [(mae_table, "column"), (moco_table, "row")])
def test_tables_are_the_formula(table: object, first: str) -> None:
    assert callable(table)
    made = table(GRID, DIM)
    assert made.shape == (1, 1 + GRID * GRID, DIM)
    assert made[0, 0].eq(0).all()
    for row in range(GRID):
        for column in range(GRID):
            expected = torch.tensor(written_out(row, column, first))
            torch.testing.assert_close(made[0, 1 + row * GRID + column], expected)


def test_the_two_differ_by_swapped_halves() -> None:
    mae, moco = mae_table(14, 768), moco_table(14, 768)
    assert (mae - moco).abs().max() > 1.9
    assert torch.equal(torch.cat(mae.split(384, dim=2)[::-1], dim=2), moco)


def test_moco_is_timms_interleaved_table() -> None:
    timms = build_sincos2d_pos_embed([14, 14], dim=768, interleave_sin_cos=True)
    torch.testing.assert_close(moco_table(14, 768)[0, 1:], timms, rtol=0, atol=1e-5)


def test_a_table_is_recognised() -> None:
    assert table_origin(mae_table(14, 768)) == "MAE's sine-cosine"
    assert table_origin(moco_table(14, 768)) == "MoCo v3's sine-cosine"
    assert table_origin(moco_table(14, 768) + 0.01) == "learned"
    assert table_origin(torch.zeros(1, 7, 48)) == "learned"
