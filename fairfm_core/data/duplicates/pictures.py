"""Which images show the same picture: equal pixels, or copies that were encoded or resized anew.

Two images are copies if their looks differ in few bits and a second look at their pixels confirms
it. Crops, rotations and flips of a picture are not recognised. Blank images are never copies: two
black films do not belong to one patient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.duplicates.hamming import Pairs, near_pairs
from fairfm_core.data.image_store.appearance import SIDE, Thumbnails, details, thumbnails
from fairfm_core.data.image_store.store import read_rows

AGREEMENT = 0.95
"""Least correlation of the details of two thumbnails that show the same picture.

Measured as `hamming.LIMIT`: at most 0.82 between images of different patients; 0.99 and more after
JPEG at quality 30, 0.97 after a gamma of 1.3, 0.999 after another size.
"""
ALONE = -1
"""The group of an image whose picture no other image shows."""
BLOCK = 256
"""Images or pairs whose pixels are in memory at a time."""

Rows = NDArray[np.int64]


def picture_groups(parts: Sequence[tuple[PreparedData, Rows]]) -> NDArray[np.int64]:
    """The picture that each image shows: the same number for copies, `ALONE` for the rest.

    Copies of copies are in one group.

    Args:
        parts: data sets with positions in their image stores, M images in all.

    Returns:
        The group of each image [M], in the order of `parts`.

    Raises:
        BadInput: pixels that changed after preparation.
    """
    from scipy.sparse import coo_array  # loaded on use: most commands compare no pictures
    from scipy.sparse.csgraph import connected_components

    hashes_M = np.concatenate([data.image_hashes[rows] for data, rows in parts])
    pairs_P2 = near_pairs(hashes_M["look"])
    equal_P = np.equal(*(hashes_M["checksum"][pairs_P2[:, side]] for side in (0, 1))).all(axis=1)
    equal_P[~equal_P] = _agree(parts, pairs_P2[~equal_P])
    first_P, second_P = pairs_P2[equal_P].T
    size = len(hashes_M)
    links = coo_array((np.ones(len(first_P)), (first_P, second_P)), shape=(size, size))
    group_M = connected_components(links, directed=False)[1].astype(np.int64)
    return np.where(np.bincount(group_M, minlength=1)[group_M] > 1, group_M, ALONE)


def _agree(parts: Sequence[tuple[PreparedData, Rows]], pairs_P2: Pairs) -> NDArray[np.bool_]:
    """The second look: whether the details of each pair's images agree, [P]."""
    images_I, place_P2 = np.unique(pairs_P2, return_inverse=True)
    thumbnails_ITT, place_P2 = _thumbnails(parts, images_I), place_P2.reshape(-1, 2)
    agree_P = np.zeros(len(pairs_P2), dtype=np.bool_)
    for start in range(0, len(pairs_P2), BLOCK):
        block = slice(start, start + BLOCK)
        one_BN, other_BN = (details(thumbnails_ITT[place_P2[block, side]]) for side in (0, 1))
        agree_P[block] = (one_BN * other_BN).sum(axis=1) >= AGREEMENT
    return agree_P


def _thumbnails(parts: Sequence[tuple[PreparedData, Rows]], images_I: Rows) -> Thumbnails:
    """Thumbnails [I, T, T] of some of the M images, given in ascending order."""
    made = [np.empty((0, SIDE, SIDE), dtype=np.uint8)]
    start = 0
    for data, rows in parts:
        inside_I = images_I[(images_I >= start) & (images_I < start + len(rows))] - start
        for first in range(0, len(inside_I), BLOCK):
            made.append(thumbnails(read_rows(data.images, rows[inside_I[first : first + BLOCK]])))
        start += len(rows)
    return np.concatenate(made)
