"""Epochs visit each row once; the validation AUC is over what is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairfm_core.training.batches import batch_count, epoch_order, gather, index_batches
from fairfm_core.training.finetuning.fitting import mean_auc


def test_mean_auc_is_over_defined_pathologies_and_known_labels() -> None:
    labels = np.array([[0.0, 1.0, np.nan], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    scores = np.array([[0.1, 0.5, 0.9], [0.2, 0.1, 0.3], [0.3, 0.2, 0.6]], dtype=np.float32)
    assert mean_auc(labels, scores) == pytest.approx((1.0 + 0.0) / 2)
    assert math.isnan(mean_auc(labels[:, 1:2], scores[:, 1:2]))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 5))
def test_an_epoch_visits_each_row_at_most_once(count: int, batch: int, epoch: int) -> None:
    batches = list(index_batches(epoch_order(count, 0, epoch), batch))
    rows = np.concatenate(batches)
    assert len(batches) == batch_count(count, batch)
    assert len(set(rows)) == len(rows)
    assert len(rows) == (count // batch * batch or count)
    assert (rows == np.concatenate(list(index_batches(epoch_order(count, 0, epoch), batch)))).all()


def test_gather_keeps_the_order_asked_for() -> None:
    images = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), dtype=np.uint8)
    assert gather(images, np.array([7, 1, 4, 1]))[:, 0, 0].tolist() == [7, 1, 4, 1]
