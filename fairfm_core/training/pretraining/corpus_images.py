"""The images of a corpus in batches: from several stores, in a new order each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairfm_core.data.corpora.corpus import Corpus
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import BadInput
from fairfm_core.seeding import stream_seed
from fairfm_core.training.batches import batch_count, epoch_order, gather, index_batches
from fairfm_core.training.pretraining.shares import ALONE, Worker, share_of


@dataclass(frozen=True, eq=False)
class CorpusImages:
    """Rows of one or more image stores, concatenated.

    Attributes:
        stores: uint8 [N, S, S], all of one size.
        store_M: the store of each of the corpus's M images.
        row_M: its row in that store.
        seed: of the order and of each image's views.
    """

    stores: tuple[NDArray[np.uint8], ...]
    store_M: NDArray[np.int64]
    row_M: NDArray[np.int64]
    seed: int

    def __len__(self) -> int:
        """Number of images."""
        return len(self.row_M)

    def batches(self, batch_size: int) -> int:
        """Batches of an epoch."""
        return batch_count(len(self), batch_size)

    def epoch(
        self, epoch: int, batch_size: int, first: int = 0, worker: Worker = ALONE
    ) -> Iterator[tuple[Tensor, list[int]]]:
        """Pixels uint8 [b, S, S] and a seed per image, from batch number `first` on: the worker's
        share of each batch."""
        order_M = epoch_order(len(self), self.seed, epoch)
        for index_B in islice(index_batches(order_M, batch_size), first, None):
            index_b = index_B[share_of(len(index_B), worker)]
            seeds = [stream_seed(self.seed, "augmentation", epoch, int(i)) for i in index_b]
            yield self._pixels(index_b), seeds

    def _pixels(self, index_B: NDArray[np.int64]) -> Tensor:
        if len(self.stores) == 1:
            return gather(self.stores[0], self.row_M[index_B])
        size = self.stores[0].shape[1:]
        pixels_BSS = torch.empty((len(index_B), *size), dtype=torch.uint8)
        for number, store in enumerate(self.stores):
            places = np.flatnonzero(self.store_M[index_B] == number)
            if len(places):
                rows_b = self.row_M[index_B[places]]
                pixels_BSS[torch.from_numpy(places)] = gather(store, rows_b)
        return pixels_BSS


def corpus_images(corpus: Corpus, datasets: Mapping[str, PreparedData], seed: int) -> CorpusImages:
    """The images of a corpus, in its own order of data sets, not that of `datasets`.

    Raises BadInput if the data sets have different image sizes.
    """
    ordered = {name: datasets[name] for name in corpus.parts}
    if len({data.image_size for data in ordered.values()}) > 1:
        sizes = ", ".join(f"{data.place} {data.image_size} px" for data in ordered.values())
        raise BadInput(
            f"corpora with different image sizes ({sizes}); prepare them with the same --size"
        )
    rows = [part.rows for part in corpus.parts.values()]
    store_M = np.repeat(np.arange(len(rows)), [len(rows_n) for rows_n in rows])
    stores = tuple(data.images for data in ordered.values())
    return CorpusImages(stores, store_M, np.concatenate(rows), seed)
