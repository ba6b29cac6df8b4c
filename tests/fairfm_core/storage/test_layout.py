"""The version of a results folder: another one is refused, a damaged record of it is rewritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput
from fairfm_core.storage.layout import LAYOUT, check_schema, claim_results

STAGE = "adapt/0123456789abcdef0123"
DAMAGED = [b"", b"[]", b"{}", b'{"sch', b'{"schema": "1"}', b"\xff\xff"]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """A results folder with a finished stage."""
    store = open_store(str(tmp_path / "results"))
    claim_results(store)
    with store.publish(*STAGE.split("/"), {}) as folder:
        (folder / "history.json").write_text("{}")
    return store


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_record_is_written_again_where_the_stages_are_of_this_version(
    store: ArtifactStore, content: bytes
) -> None:
    store.write_bytes(content, LAYOUT)
    check_schema(store)
    claim_results(store)
    assert store.read_json(LAYOUT) == {"schema": 1}


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_record_beside_newer_stages_is_left(store: ArtifactStore, content: bytes) -> None:
    marker = Path(store.root, STAGE, "done")
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"schema": 2}))
    store.write_bytes(content, LAYOUT)
    with pytest.raises(BadInput, match="has schema version 2"):
        claim_results(store)
    assert store.read_bytes(LAYOUT) == content


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_record_beside_nothing_is_that_of_a_new_folder(
    tmp_path: Path, content: bytes
) -> None:
    store = open_store(str(tmp_path / "new"))
    store.write_bytes(content, LAYOUT)
    claim_results(store)
    assert store.read_json(LAYOUT) == {"schema": 1}


def test_a_record_that_leads_elsewhere_is_refused_and_not_followed(
    store: ArtifactStore, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("mine")
    Path(store.root, LAYOUT).unlink()
    Path(store.root, LAYOUT).symlink_to(target)
    with pytest.raises(BadInput, match="leads out of the results folder"):
        claim_results(store)
    assert target.read_text() == "mine"
