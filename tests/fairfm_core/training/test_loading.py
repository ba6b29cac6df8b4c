"""The batches of an epoch are the same however they are read."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.data.image_store.hashes import checksums
from fairfm_core.data.image_store.store import open_images
from fairfm_core.errors import BadInput
from fairfm_core.seeding import stream_seed
from fairfm_core.training.augmentation.augmentation import augmenter
from fairfm_core.training.batches import epoch_order, index_batches
from fairfm_core.training.loading import TrainingBatches

from ...cards import needs_cards

# On machines with one core, and from Python 3.12 on: neither changes a batch.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

BACKBONE = Backbone(name="vit_tiny_patch16_224", image_size=16, channels=1)
KINDS = [("none", "tensor"), ("paper", "tensor"), ("randaugment", "tensor"), ("randaugment", "pil")]
SEED, EPOCH = 3, 2
DRAW = np.random.default_rng(0)
IMAGES = DRAW.integers(0, 256, (60, 20, 20), dtype=np.uint8)
ROWS = np.sort(DRAW.choice(60, 45, replace=False))
LABELS = DRAW.choice([0.0, 1.0, np.nan], (45, 3))
GROUPS = DRAW.integers(-1, 3, 45)


def recipe(kind: str, path: str, batch_size: int = 8) -> EndToEnd:
    return EndToEnd(
        method="end_to_end",
        augmentation=kind,  # type: ignore[arg-type]
        augmentation_path=path,  # type: ignore[arg-type]
        batch_size=batch_size,
    )


def batches(
    kind: str = "paper", path: str = "tensor", workers: int = 0, batch_size: int = 8
) -> TrainingBatches:
    how = recipe(kind, path, batch_size)
    cpu = torch.device("cpu")
    return TrainingBatches(IMAGES, ROWS, LABELS, how, BACKBONE, SEED, cpu, workers, GROUPS)


def plain_epoch(kind: str, path: str) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Each image read and augmented by itself."""
    augment = augmenter(recipe(kind, path), BACKBONE)
    expected = []
    for index_B in index_batches(epoch_order(len(ROWS), SEED, EPOCH), 8):
        pictures = [
            augment(
                torch.from_numpy(IMAGES[row][None].copy()),
                [stream_seed(SEED, "augmentation", EPOCH, int(row))],
            )
            for row in ROWS[index_B]
        ]
        targets, groups = (
            torch.from_numpy(LABELS[index_B]).float(),
            torch.from_numpy(GROUPS[index_B]),
        )
        expected.append((torch.cat(pictures), targets, groups))
    return expected


def assert_same(first: list[Any], second: list[Any]) -> None:
    assert len(first) == len(second)
    for (inputs, targets, groups), (other_inputs, other_targets, other_groups) in zip(
        first, second, strict=True
    ):
        assert torch.equal(inputs, other_inputs)
        assert torch.equal(groups, other_groups)
        torch.testing.assert_close(targets, other_targets, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("kind", "path"), KINDS)
def test_batches_equal_images_read_one_by_one(kind: str, path: str, workers: int) -> None:
    read = list(batches(kind, path, workers).epoch(EPOCH))
    assert_same(read, plain_epoch(kind, path))
    assert all(x.dtype == torch.float32 for batch in read for x in batch[:2])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first", [0, 3, 5])
def test_an_epoch_goes_on_from_any_batch(first: int, workers: int) -> None:
    reader = batches(workers=workers)
    assert_same(list(reader.epoch(EPOCH, first)), list(batches().epoch(EPOCH))[first:])


def test_length_is_that_of_every_epoch() -> None:
    for size, expected in ((8, 5), (45, 1), (100, 1)):
        reader = batches(batch_size=size)
        assert len(reader) == len(list(reader.epoch(0))) == expected
    assert not list(batches().epoch(0, first=5))


def test_epochs_differ() -> None:
    first, second = (next(batches("none").epoch(epoch))[0] for epoch in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("workers", [0, 2])
def test_global_generators_stay_as_they_were(workers: int) -> None:
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
    list(batches("randaugment", "pil", workers).epoch(0))
    after = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


def test_no_process_is_left_when_an_epoch_is_broken_off() -> None:
    me = psutil.Process()
    before = set(me.children(recursive=True))
    reading = batches(workers=2).epoch(0)
    next(reading)
    workers = set(me.children(recursive=True)) - before
    assert workers
    reading.close()  # type: ignore[attr-defined]
    # Closing has joined the workers; one that still reads would never end.
    _, left = psutil.wait_procs(workers, timeout=600)
    assert not left


def test_an_error_in_a_worker_reaches_the_consumer() -> None:
    beyond = ROWS + 60
    cpu = torch.device("cpu")
    how = recipe("none", "tensor")
    reader = TrainingBatches(IMAGES, beyond, LABELS, how, BACKBONE, SEED, cpu, 1)
    with pytest.raises(IndexError, match="out of bounds"):
        list(reader.epoch(0))


def test_waited_is_the_consumers_time_in_the_data_path() -> None:
    reader = batches()
    began, slept = time.perf_counter(), 0.0
    for _ in reader.epoch(0):
        asleep = time.perf_counter()
        time.sleep(0.02)  # not the data path's
        slept += time.perf_counter() - asleep
    assert 0 < reader.waited <= time.perf_counter() - began - slept
    once = reader.waited
    list(reader.epoch(1))
    assert reader.waited > once
    reader.waited = 0.0
    assert reader.waited == 0


@needs_cards()
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_lie_on_the_gpu(workers: int) -> None:
    gpu = torch.device("cuda")
    how = recipe("paper", "tensor")
    reader = TrainingBatches(IMAGES, ROWS, LABELS, how, BACKBONE, SEED, gpu, workers)
    for (inputs, targets, _), (expected, known, _) in zip(
        reader.epoch(EPOCH), batches().epoch(EPOCH), strict=True
    ):
        assert inputs.device.type == targets.device.type == "cuda"
        torch.testing.assert_close(inputs.cpu(), expected, rtol=0, atol=1e-3)
        torch.testing.assert_close(targets.cpu(), known, equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_changed_pixels_are_refused_in_one_line(tmp_path: Path, workers: int) -> None:
    """Whoever reads them, in the first epoch and in a later one."""
    np.save(tmp_path / "images.npy", IMAGES)
    images = open_images(tmp_path / "images.npy", checksums(IMAGES))
    cpu = torch.device("cpu")
    how = recipe("none", "tensor")
    read = TrainingBatches(images, ROWS, LABELS, how, BACKBONE, SEED, cpu, workers, GROUPS)
    assert len(list(read.epoch(0))) == len(read)
    changed = np.load(tmp_path / "images.npy", mmap_mode="r+")
    changed[ROWS] ^= 1
    changed.flush()
    with pytest.raises(BadInput, match=r"images.npy: the pixels of 8 image\(s\) changed") as error:
        list(read.epoch(1))
    assert "\n" not in str(error.value)
