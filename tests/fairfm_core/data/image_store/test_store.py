"""The image store: its file, its rows, filling it on all cores, and what it does not hold."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairfm_core.data.image_store.grey_levels import ReadImage
from fairfm_core.data.image_store.store import (
    HEADER,
    StoreRows,
    copy_rows,
    create_store,
    open_images,
    store_bytes,
    store_digest,
)
from fairfm_core.data.preparation.filling import Maker, decoder, drawer, fill_store
from fairfm_core.data.preparation.partial import partial_store
from fairfm_core.errors import BadInput


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def filled(out: Path, maker: Maker, count: int, size: int, **options) -> tuple[Path, dict]:
    """A store in `out` with `count` rows made, and the rows that could not be."""
    out.mkdir(exist_ok=True)
    signatures = np.zeros(count, dtype=np.uint64)
    with partial_store(out, "request", size, signatures) as partial:
        failed = fill_store(partial, maker, **options)
    return partial.folder / "images.npy", failed


def test_the_papers_cohort_fits_in_six_gigabytes() -> None:
    assert store_bytes(127_118, 224) == 128 + 127_118 * 224 * 224 == 6_378_272_896
    assert store_bytes(127_118, 224) < 6.4e9


@pytest.mark.parametrize(("count", "size"), [(1, 16), (300, 17), (1000, 224)])
def test_the_file_is_as_large_as_the_rule_says(tmp_path: Path, count: int, size: int) -> None:
    path = tmp_path / "images.npy"
    create_store(path, count, size)
    assert path.stat().st_size == store_bytes(count, size)
    assert path.stat().st_blocks * 512 <= 1 << 16  # sparse: nothing was written but the header
    store = open_images(path)
    assert (store.shape, store.dtype) == ((count, size, size), np.uint8)
    assert HEADER + store.nbytes == path.stat().st_size
    assert not store.flags.writeable
    assert not store[-1].any()


def test_rows_are_written_and_read_where_they_belong(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    create_store(path, 5, 16)
    image = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    rows = StoreRows(path, 16)
    rows.write(3, image.tobytes())
    assert rows.read(3) == image.tobytes()
    rows.close()
    store = open_images(path)
    np.testing.assert_array_equal(store[3], image)
    assert not store[[0, 1, 2, 4]].any()


@pytest.mark.parametrize("rows", [[0], [4], [0, 1, 2, 3, 4], [1, 2, 4], [0, 2, 4]])
def test_rows_are_copied_in_order(tmp_path: Path, rows: list[int]) -> None:
    whole = np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)
    np.save(tmp_path / "whole.npy", whole)
    copy_rows(tmp_path / "whole.npy", rows, 16, tmp_path / "some.npy")
    np.testing.assert_array_equal(open_images(tmp_path / "some.npy"), whole[rows])


@pytest.mark.slow
def test_files_are_decoded_into_their_rows(tmp_path: Path) -> None:
    values = np.random.default_rng(0).permutation(300) % 256
    files = [
        save(tmp_path / f"{i}.png", np.full((8, 8), v, dtype=np.uint8))
        for i, v in enumerate(values)
    ]
    seen: list[tuple[int, int]] = []
    progress = lambda *at: seen.append(at)  # noqa: E731
    path, failed = filled(tmp_path / "out", decoder(files, 16), 300, 16, progress=progress)
    np.testing.assert_array_equal(open_images(path)[:, 3, 3], values)
    assert not failed
    assert (seen[0], seen[-1]) == ((0, 300), (300, 300))
    assert seen == sorted(seen)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_a_store_is_the_same_on_any_number_of_cores(tmp_path: Path, workers: int) -> None:
    def draw(rows: np.ndarray) -> np.ndarray:
        images = [np.random.default_rng(row).integers(0, 256, (16, 16)) for row in rows]
        return np.array(images, dtype=np.uint8)

    path, _ = filled(tmp_path / "out", drawer(draw), 1000, 16, workers=workers)
    np.testing.assert_array_equal(open_images(path), draw(np.arange(1000)))


def test_all_rows_are_tried_and_failures_are_told(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png", np.zeros((8, 8), dtype=np.uint8))
    empty = tmp_path / "empty.jpg"
    empty.touch()
    files = [good, empty, good, tmp_path / "absent.png"]
    _, failed = filled(tmp_path / "out", decoder(files, 16), 4, 16)
    assert failed[1] == "empty.jpg (empty file)"
    assert "No such file" in failed[3]
    assert str(tmp_path) not in failed[3]
    assert set(failed) == {1, 3}


def test_an_error_of_the_disk_is_no_unreadable_image(tmp_path: Path, monkeypatch) -> None:
    def full(self: StoreRows, row: int, pixels: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StoreRows, "write", full)
    good = save(tmp_path / "good.png", np.zeros((8, 8), dtype=np.uint8))
    with pytest.raises(OSError, match="No space left"):
        filled(tmp_path / "out", decoder([good] * 30, 16), 30, 16)


def test_a_disk_that_is_too_small_is_told_before_work_begins(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"needs 4000000.00 GB .* make room"):
        filled(tmp_path / "out", decoder([], 2000), 10**9, 2000)


def test_an_interrupted_filling_stops_soon(tmp_path: Path) -> None:
    made: list[int] = []

    def slow(rows: np.ndarray) -> list[ReadImage]:
        made.extend(rows)
        time.sleep(0.01)
        return [ReadImage(np.zeros((16, 16), dtype=np.uint8)) for _ in rows]

    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled(tmp_path / "out", Maker(slow, 1), 20_000, 16, progress=interrupt, workers=2)
    assert 0 < len(made) < 20_000


def test_the_digest_is_of_pixels_and_shape(tmp_path: Path) -> None:
    def digest(array: np.ndarray) -> str:
        np.save(tmp_path / "a.npy", array)
        return store_digest(tmp_path / "a.npy")

    array = np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    other = array.copy()
    other[299, 7, 7] ^= 1
    assert digest(array) == digest(array.copy())
    assert len({digest(array), digest(other), digest(array.reshape(75, 16, 16))}) == 3


def test_a_store_that_is_absent_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is missing"):
        open_images(tmp_path / "images.npy")
    (tmp_path / "images.npy").write_bytes(b"not numpy")
    with pytest.raises(BadInput, match="is damaged"):
        open_images(tmp_path / "images.npy")


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {tests!r})
from test_store import filled
from fairfm_core.data.preparation.filling import drawer
from fairfm_core.data.image_store.store import store_digest

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

draw = lambda rows: np.full((len(rows), 224, 224), 7, dtype=np.uint8)
filled(Path(sys.argv[1]) / "few", drawer(draw), 2000, 224, workers=2)
before = peak()
path, _ = filled(Path(sys.argv[1]) / "many", drawer(draw), 8000, 224, workers=2)
store_digest(path)
print(path.stat().st_size >> 20, peak() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    code = MEMORY.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    megabytes, grown = (int(word) for word in done.stdout.split())
    assert megabytes == 382
    assert grown < 40  # two threads and nine waiting groups, whatever the store
