"""Splits of prepared data for training: rows, labels, and their order in each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairfm_core.data.cohort import settled
from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.data.image_store.store import read_rows
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.seeding import stream
from fairfm_core.stages import Stage


@dataclass(frozen=True)
class Split:
    """Rows of one split, ordered by position in the image store."""

    frame: pd.DataFrame
    pathologies: tuple[str, ...]

    @property
    def rows_N(self) -> NDArray[np.int64]:
        """Positions in the image store."""
        return self.frame["row"].to_numpy(dtype=np.int64)

    @property
    def labels_NP(self) -> NDArray[np.float64]:
        """Labels 0 and 1; NaN where unknown."""
        columns = [f"y_{name}" for name in self.pathologies]
        # A copy: a view of the frame is read-only, which torch refuses.
        return self.frame[columns].to_numpy(dtype=np.float64, copy=True)


def planned_dataset(stage: Stage) -> PreparedData:
    """The data that a stage was planned on; raises BadInput if they have changed since."""
    data = open_dataset(stage.dataset)
    if data.digest != stage.digest:
        raise BadInput(f"{data.place} is not the data this study was planned on; plan it again")
    return data


def take_split(
    data: PreparedData,
    name: str,
    pathologies: tuple[str, ...],
    policies: Mapping[str, str] = MappingProxyType({}),
) -> Split:
    """The rows of split `name`, with uncertain labels settled by `policies`.

    Raises BadInput for an unknown label or an empty split.
    """
    unknown = [label for label in pathologies if label not in data.pathologies]
    if unknown:
        hint = did_you_mean(unknown[0], data.pathologies)
        raise BadInput(
            f"pathologies not in {data.place}: {first_ten(unknown)}{hint}; "
            f"it has {', '.join(data.pathologies)}"
        )
    frame = data.frame[data.frame["split"] == name].sort_values("row", ignore_index=True)
    if frame.empty:
        raise BadInput(f"{data.place} has no image in split {name!r}; prepare it with a split")
    return Split(settled(frame, policies), pathologies)


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch visits `count` rows; depends on seed and epoch alone."""
    return stream(seed, "order", epoch).permutation(count)


def index_batches(order_N: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Full batches only, as in the paper's recipe, or one smaller batch if there is no full one."""
    stop = len(order_N) - len(order_N) % batch_size or len(order_N)
    for start in range(0, stop, batch_size):
        yield order_N[start : start + batch_size]


def batch_count(count: int, batch_size: int) -> int:
    """Number of batches that `index_batches` yields."""
    return max(1, count // batch_size)


def gather(images_NHW: NDArray[np.uint8], rows_B: NDArray[np.int64]) -> Tensor:
    """Rows of the image store as one uint8 tensor [B, H, W]; BadInput for changed pixels."""
    return torch.from_numpy(read_rows(images_NHW, rows_B))
