"""A killed preparation resumes where it stopped; unreadable images are reported or dropped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairfm_core.data.dataset import open_dataset, verify
from fairfm_core.data.image_store.grey_levels import ReadImage, ReadingChoices
from fairfm_core.data.preparation import filling, making
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.errors import BadInput

from ....warm.starting import warm_script

WORKERS = 2
PREPARE = """
import os, sys, time
from fairfm_core.data.preparation import filling
from fairfm_core.data.preparation.prepare import prepare

source, out, log, seconds = sys.argv[1:]
log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
decode = filling.read_square

def slow(path, size, how):
    os.write(log, f"{path.name}\\n".encode())
    time.sleep(float(seconds))
    return decode(path, size, how)

filling.read_square = slow
filling._cores = lambda: 2
prepare("chestxray14", source, out, 16)
"""


def name(i: int) -> str:
    return f"{i:08d}_000.png"


def nih(folder: Path, count: int) -> Path:
    """A made-up ChestX-ray14, its pictures all different."""
    (folder / "images").mkdir(parents=True)
    lines = ["Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position"]
    rng = np.random.default_rng(0)
    for i in range(count):
        finding, sex = ("Mass", "F") if i % 2 else ("No Finding", "M")
        lines.append(f"{name(i)},{finding},{i},{50 + i % 30},{sex},PA")
        grey = rng.integers(0, 256, (18, 20), dtype=np.uint8)
        Image.fromarray(grey).save(folder / "images" / name(i))
    (folder / "Data_Entry_2017.csv").write_text("\n".join(lines))
    return folder


class Decodes:
    """Counts calls of the decoder, and may stop after some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[str] = []
        self.stop_after = 10**9
        decode = filling.read_square

        def counted(path: Path, size: int, how: ReadingChoices) -> ReadImage:
            if len(self.files) >= self.stop_after:
                raise KeyboardInterrupt
            self.files.append(path.name)
            return decode(path, size, how)

        monkeypatch.setattr(filling, "read_square", counted)
        monkeypatch.setattr(filling, "_cores", lambda: 1)

    def taken(self) -> list[str]:
        files, self.files = self.files, []
        return files


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Decodes:
    return Decodes(monkeypatch)


def start(source: Path, out: Path, log: Path, seconds: float) -> subprocess.Popen[bytes]:
    command = warm_script(out.with_suffix(".py"), PREPARE)
    return subprocess.Popen([*command, source, out, log, str(seconds)], stderr=subprocess.PIPE)


def decoded(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


@pytest.mark.slow
def test_a_killed_preparation_decodes_nothing_twice(tmp_path: Path) -> None:
    source, out, log = nih(tmp_path / "nih", 120), tmp_path / "out", tmp_path / "log"
    for stop in (20, 70):
        running = start(source, out, log, 0.01)
        while len(decoded(log)) < stop:
            assert running.poll() is None, running.communicate()
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        with pytest.raises(BadInput, match="not a prepared data set"):
            open_dataset(out)
    assert stop <= len(decoded(log)) < 110  # it was killed in the middle
    running = start(source, out, log, 0)
    assert running.wait() == 0, running.communicate()
    running.communicate()
    times = Counter(decoded(log))
    assert set(times) == {name(i) for i in range(120)}
    # Each kill may cost what the threads had in hand.
    assert sum(times.values()) <= 120 + 2 * WORKERS
    whole = prepare("chestxray14", source, tmp_path / "whole", 16)
    assert verify(out).digest == whole.digest
    assert sorted(os.listdir(out)) == sorted(os.listdir(tmp_path / "whole"))


def test_another_request_begins_anew(tmp_path: Path, decodes: Decodes) -> None:
    source, out = nih(tmp_path / "nih", 40), tmp_path / "out"
    decodes.stop_after = 25
    with pytest.raises(KeyboardInterrupt):
        prepare("chestxray14", source, out, 16)
    decodes.stop_after = 10**9
    decodes.taken()
    said: list[str] = []
    prepare("chestxray14", source, out, 24, say=said.append)
    assert len(decodes.taken()) == 40
    assert not said
    assert not list(out.glob(".partial-*"))


def test_the_same_request_says_what_is_there(tmp_path: Path, decodes: Decodes) -> None:
    source, out = nih(tmp_path / "nih", 40), tmp_path / "out"
    decodes.stop_after = 25
    with pytest.raises(KeyboardInterrupt):
        prepare("chestxray14", source, out, 16)
    decodes.stop_after = 10**9
    first = decodes.taken()
    said: list[str] = []
    seen: list[tuple[int, int]] = []
    progress = lambda *at: seen.append(at)  # noqa: E731
    prepare("chestxray14", source, out, 16, say=said.append, progress=progress)
    assert said == [f"{out}: 25 of 40 images are already there from an earlier run"]
    assert seen[0] == (25, 40)
    assert sorted(first + decodes.taken()) == [name(i) for i in range(40)]


@pytest.mark.parametrize("damage", ["lost pixels", "cut record", "noise", "short store"])
def test_nothing_half_written_is_taken_for_finished(
    tmp_path: Path, decodes: Decodes, damage: str
) -> None:
    source, out = nih(tmp_path / "nih", 40), tmp_path / "out"
    decodes.stop_after = 30
    with pytest.raises(KeyboardInterrupt):
        prepare("chestxray14", source, out, 16)
    decodes.stop_after = 10**9
    decodes.taken()
    (partial,) = out.glob(".partial-*")
    images, journal = partial / "images.npy", partial / "journal"
    if damage == "lost pixels":  # a power cut: the records reached the disk, a page did not
        with open(images, "r+b") as file:
            file.seek(128 + 7 * 256)
            file.write(bytes(256))
        again = {name(7), *(name(i) for i in range(30, 40))}
    elif damage == "cut record":
        journal.write_bytes(journal.read_bytes()[:-5])
        again = {name(i) for i in range(29, 40)}
    elif damage == "noise":
        journal.write_bytes(os.urandom(16 * 50))
        again = {name(i) for i in range(40)}
    else:
        os.truncate(images, 5000)
        again = {name(i) for i in range(40)}
    prepare("chestxray14", source, out, 16)
    assert set(decodes.taken()) == again
    assert verify(out).digest == prepare("chestxray14", source, tmp_path / "whole", 16).digest


@pytest.mark.parametrize("step", ["write_cohort", "store_digest", "write_manifest"])
def test_an_end_that_was_interrupted_costs_no_decoding(
    tmp_path: Path, decodes: Decodes, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    source, out = nih(tmp_path / "nih", 20), tmp_path / "out"

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(making, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare("chestxray14", source, out, 16)
    with pytest.raises(BadInput, match="not a prepared data set"):
        open_dataset(out)
    decodes.taken()
    prepare("chestxray14", source, out, 16)
    assert decodes.taken() == []
    verify(out)


def broken(source: Path, *numbers: int) -> Path:
    for number in numbers:
        (source / "images" / name(number)).write_bytes(b"")
    return source


def test_unreadable_images_are_listed_and_cost_only_themselves(
    tmp_path: Path, decodes: Decodes
) -> None:
    source, out = nih(tmp_path / "nih", 40), tmp_path / "out"
    good = {i: (source / "images" / name(i)).read_bytes() for i in range(12)}
    broken(source, *good)
    listed = r"12 of 40 images cannot be read.*00000009_000.*\(12 in all\).*--allow-missing 12 "
    with pytest.raises(BadInput, match=listed) as told:
        prepare("chestxray14", source, out, 16)
    assert name(10) not in str(told.value)
    assert "\n" not in str(told.value)
    decodes.taken()
    for number, content in good.items():  # fetched again
        (source / "images" / name(number)).write_bytes(content)
    prepare("chestxray14", source, out, 16)
    assert sorted(decodes.taken()) == [name(i) for i in range(12)]
    assert verify(out).manifest.counts["images"] == 40


def test_unreadable_images_that_are_allowed_are_dropped(tmp_path: Path, decodes: Decodes) -> None:
    source, out = nih(tmp_path / "nih", 40), tmp_path / "out"
    whole = prepare("chestxray14", source, tmp_path / "whole", 16)
    broken(source, 0, 17, 39)
    (source / "images" / name(20)).unlink()
    with pytest.raises(BadInput, match=r"3 of 39 images cannot be read.*--allow-missing 4 "):
        prepare("chestxray14", source, out, 16, allow_missing=3)
    decodes.taken()
    data = prepare("chestxray14", source, out, 16, allow_missing=4)
    assert sorted(decodes.taken()) == [name(i) for i in (0, 17, 39)]
    kept = [i for i in range(40) if i not in (0, 17, 20, 39)]
    assert data.frame["image_id"].tolist() == [name(i) for i in kept]
    assert data.frame["row"].tolist() == list(range(36))
    np.testing.assert_array_equal(data.images, whole.images[kept])
    assert data.manifest.counts["images"] == 36
    assert data.manifest.notes["images missing, dropped"] == 1
    assert data.manifest.notes["images unreadable, dropped"] == 3
    assert verify(out).digest == data.digest
    assert not list(out.glob(".partial-*"))
    said: list[str] = []
    prepare("chestxray14", source, out, 16, allow_missing=4, say=said.append)
    assert "reused" in said[0]
    with pytest.raises(BadInput, match=r"without 3 unreadable image\(s\): pass --allow-missing 4"):
        prepare("chestxray14", source, out, 16, allow_missing=3)


def test_dropping_that_was_interrupted_costs_no_decoding(
    tmp_path: Path, decodes: Decodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = broken(nih(tmp_path / "nih", 20), 3), tmp_path / "out"
    copy = making.copy_rows

    def interrupted(images: Path, rows: list[int], size: int, target: Path) -> None:
        copy(images, rows[:5], size, target)
        raise KeyboardInterrupt

    for step, replaced in (("copy_rows", interrupted), ("write_manifest", None)):
        with monkeypatch.context() as patch:
            patch.setattr(making, step, replaced)
            with pytest.raises((KeyboardInterrupt, TypeError)):
                prepare("chestxray14", source, out, 16, allow_missing=1)
    decodes.taken()
    data = prepare("chestxray14", source, out, 16, allow_missing=1)
    assert decodes.taken() == [name(3)]  # tried again
    assert len(verify(out).frame) == len(data.images) == 19


def test_nothing_readable_is_no_data_set(tmp_path: Path) -> None:
    source = broken(nih(tmp_path / "nih", 3), 0, 1, 2)
    with pytest.raises(BadInput, match="none of the 3 images can be read"):
        prepare("chestxray14", source, tmp_path / "out", 16, allow_missing=3)


@pytest.mark.slow
def test_a_phantom_goes_on_where_it_was(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 512:
            raise Stop

    with pytest.raises(Stop):
        prepare("phantom", "fair", tmp_path / "out", 32, patients=500, progress=stop)
    seen: list[int] = []
    progress = lambda done, total: seen.append(done)  # noqa: E731
    data = prepare("phantom", "fair", tmp_path / "out", 32, patients=500, progress=progress)
    assert seen[0] >= 512
    whole = prepare("phantom", "fair", tmp_path / "whole", 32, patients=500)
    assert data.digest == whole.digest


def test_paths_that_leave_the_source_are_refused(tmp_path: Path) -> None:
    source = nih(tmp_path / "nih", 3)
    Image.new("L", (9, 9)).save(tmp_path / "secret.png")
    table = source / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace(name(1), "../../secret.png"))
    with pytest.raises(BadInput, match=r"secret\.png"):
        prepare("chestxray14", source, tmp_path / "out", 16)
