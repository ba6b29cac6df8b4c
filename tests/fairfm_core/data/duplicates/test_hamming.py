"""Near pairs of looks: those of comparing all pairs, whatever the looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fairfm_core.data.duplicates import hamming
from fairfm_core.data.duplicates.hamming import LIMIT, near_pairs


def flipped(look: np.ndarray, bits: list[int]) -> np.ndarray:
    wrong = np.zeros(256, dtype=np.uint8)
    wrong[bits] = 1
    return look ^ np.packbits(wrong, bitorder="little").view("<u8")


def all_pairs(looks: np.ndarray) -> set[tuple[int, int]]:
    """The oracle: every pair compared, bit by bit."""
    bits = np.unpackbits(np.ascontiguousarray(looks).view(np.uint8), axis=1)
    shown = bits.any(axis=1)
    return {
        (i, j)
        for i in range(len(looks))
        for j in range(i + 1, len(looks))
        if shown[i] and shown[j] and (bits[i] != bits[j]).sum() <= LIMIT
    }


def parts_of(pairs: set[tuple[int, int]], size: int) -> np.ndarray:
    ends = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(ends.shape[1]), ends), shape=(size, size))
    return connected_components(links, directed=False)[1]


@st.composite
def many_looks(draw: st.DrawFn) -> np.ndarray:
    """Looks with copies of some at distances around the limit, and some that show nothing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.5, 0.05, 0.002]))
    bits = (rng.random((draw(st.integers(1, 40)), 256)) < density).astype(np.uint8)
    looks = list(np.packbits(bits, axis=1, bitorder="little").view("<u8"))
    for _ in range(draw(st.integers(0, 40))):
        count = int(rng.choice([0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 40]))
        look = looks[rng.integers(len(looks))]
        looks.append(flipped(look, rng.choice(256, count, replace=False).tolist()))
    return np.array(looks)[rng.permutation(len(looks))]


@pytest.mark.slow
@given(many_looks())
@settings(deadline=None, max_examples=150)
def test_near_pairs_are_those_of_comparing_all(looks: np.ndarray) -> None:
    pairs = near_pairs(looks)
    expected = all_pairs(looks)
    assert {tuple(pair) for pair in pairs.tolist()} <= expected
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    np.testing.assert_array_equal(
        parts_of({tuple(pair) for pair in pairs.tolist()}, len(looks)),
        parts_of(expected, len(looks)),
    )
    first = np.sort(np.unique(looks, axis=0, return_index=True)[1])
    distinct = near_pairs(looks[first])
    assert {tuple(pair) for pair in distinct.tolist()} == all_pairs(looks[first])


@pytest.mark.parametrize("spread", [0, 1, 15])
def test_a_pair_is_found_wherever_its_bits_differ(spread: int) -> None:
    """One bit in each part but one, or all in one part."""
    rng = np.random.default_rng(spread)
    look = rng.integers(0, 2**63, 4, dtype=np.uint64)
    for free in range(16):
        parts = [part for part in range(16) if part != free]
        bits = (
            [16 * part + spread for part in parts]
            if spread
            else list(range(16 * free, 16 * free + 15))
        )
        near = near_pairs(np.stack([look, flipped(look, bits)]))
        assert near.tolist() == [[0, 1]]
        further = flipped(look, [*bits, (bits[0] + 17) % 256])
        assert not len(near_pairs(np.stack([look, further])))


def test_many_copies_make_few_pairs() -> None:
    looks = np.repeat(np.random.default_rng(0).integers(1, 2**63, (2, 4), dtype=np.uint64), 500, 0)
    assert len(near_pairs(looks)) == 998


def test_few_looks_are_compared_where_parts_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    count = np.bitwise_count
    monkeypatch.setattr(
        hamming.np, "bitwise_count", lambda words: compared.append(len(words)) or count(words)
    )
    looks = np.random.default_rng(0).integers(0, 2**63, (4_000, 4), dtype=np.uint64)
    near_pairs(looks)
    assert sum(compared) < 0.001 * len(looks) ** 2


@pytest.mark.parametrize("size", [0, 1])
def test_nothing_has_no_pairs(size: int) -> None:
    assert near_pairs(np.ones((size, 4), dtype=np.uint64)).shape == (0, 2)
