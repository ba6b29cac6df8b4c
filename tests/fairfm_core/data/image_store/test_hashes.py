"""Hashes of a store are those of each image, however the store is divided among threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xxhash

from fairfm_core.data.image_store import hashes
from fairfm_core.data.image_store.appearance import looks, thumbnails
from fairfm_core.data.image_store.hashes import hash_images, read_hashes, write_hashes
from fairfm_core.errors import BadInput

PIXELS = np.random.default_rng(0).integers(0, 256, (11, 40, 40), dtype=np.uint8)


@pytest.mark.parametrize("block", [1, 4_000, 1 << 23])
def test_hashes_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(hashes, "BLOCK_BYTES", block)
    reported: list[tuple[int, int]] = []
    made = hash_images(PIXELS, lambda done, total: reported.append((done, total)))
    expected = [xxhash.xxh3_128_digest(each.tobytes()) for each in PIXELS]
    assert [each.tobytes() for each in made["checksum"]] == expected
    np.testing.assert_array_equal(made["look"], looks(thumbnails(PIXELS)))
    assert reported[-1] == (11, 11)


def test_written_hashes_are_read_back_or_refused(tmp_path: Path) -> None:
    path, made = tmp_path / "hashes.npy", hash_images(PIXELS)
    checksum = write_hashes(made, path)
    np.testing.assert_array_equal(read_hashes(path, checksum), made)
    with pytest.raises(BadInput, match=r"hashes.npy is damaged"):
        read_hashes(path, "0" * 32)
