"""Running a stage: every kind has its work, and only complete work is published."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fairfm_core import running
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.named_records import imported
from fairfm_core.errors import StageFailed
from fairfm_core.stages import REVISIONS, Stage


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store(str(tmp_path / "results"))


STAGE = Stage("features", {"pool": "auto"}, "/somewhere/data", "digest")


def work_with(monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
    """Have features extracted by `work`."""
    monkeypatch.setitem(sys.modules, "own_work", SimpleNamespace(work=work))  # type: ignore[arg-type]
    monkeypatch.setitem(running.WORK, "features", "own_work:work")


def test_every_kind_of_stage_has_its_work() -> None:
    assert running.WORK.keys() == REVISIONS.keys()
    for place in [*running.WORK.values(), running.TOGETHER]:
        assert callable(imported(place))


def test_a_finished_stage_is_published_once_and_leaves_nothing_behind(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def work(stage: Stage, store: ArtifactStore, folder: Path, report: Any) -> None:
        calls.append(stage.fingerprint)
        (folder / "val.npy").write_bytes(b"features")

    work_with(monkeypatch, work)
    store.save_checkpoint(STAGE.fingerprint, 1, b"state")
    store.record_failure(STAGE.fingerprint, "no space left")
    for _ in range(2):
        running.run_stage(STAGE, store, lambda row: None)
    assert calls == [STAGE.fingerprint]
    assert store.read_bytes("features", STAGE.fingerprint, "val.npy") == b"features"
    record = store.done_record("features", STAGE.fingerprint)
    assert record["stage"]["dataset"] == "data"
    assert record["hardware"].keys() == {"device", "precision", "host"}
    assert store.latest_checkpoint(STAGE.fingerprint) is None
    assert store.failure(STAGE.fingerprint) is None


def test_a_failed_stage_publishes_nothing_and_keeps_its_checkpoint(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(stage: Stage, store: ArtifactStore, folder: Path, report: Any) -> None:
        (folder / "val.npy").write_bytes(b"half")
        raise StageFailed("loss is nan")

    work_with(monkeypatch, work)
    store.save_checkpoint(STAGE.fingerprint, 1, b"state")
    with pytest.raises(StageFailed, match="loss is nan"):
        running.run_stage(STAGE, store, lambda row: None)
    assert not store.exists("features", STAGE.fingerprint)
    assert store.latest_checkpoint(STAGE.fingerprint) == b"state"


def test_declaring_stages_loads_neither_torch_nor_a_filesystem() -> None:
    code = (
        "import sys, fairfm_core.stages\n"
        "heavy = {'torch', 'timm', 'pyarrow', 'fairfm_core.artifacts'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
