"""A run is refused when a node of its cluster sees something else than the driver."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.exceptions import WorkerCrashedError

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.data.manifest import read_manifest
from fairfm_core.errors import BadInput
from fairfm_core.stages import REVISIONS
from sweeps.cluster import nodes
from sweeps.cluster.nodes import TOKENS, JoiningNodes, Seen, check_nodes, fault_here

from ..clusters import cluster_of

TOKEN = "0123"


@pytest.fixture
def seen(tmp_path: Path, phantom_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What a driver sees, in results of this test."""
    monkeypatch.setattr(nodes, "APPEAR_SECONDS", 0.0)
    results = str(tmp_path / "results")
    open_store(results).write_bytes(TOKEN.encode(), TOKENS, TOKEN)
    digest = read_manifest(phantom_folder).digest
    return Seen(results, TOKEN, {str(phantom_folder): digest}, REVISIONS)


def test_the_same_results_and_data_are_no_fault(seen: Seen) -> None:
    assert fault_here(seen) is None


def test_a_token_that_is_not_there_is_a_fault(seen: Seen) -> None:
    fault = fault_here(replace(seen, token="4567"))
    assert fault is not None
    assert fault.what == f"results {seen.results} are not seen by"
    assert "the token of this run is not there" in fault.remedy


def test_a_token_with_another_content_is_a_fault(seen: Seen) -> None:
    open_store(seen.results).write_bytes(b"another", TOKENS, TOKEN)
    fault = fault_here(seen)
    assert fault is not None
    assert "differs" in fault.remedy


def test_results_that_cannot_be_opened_are_a_fault(seen: Seen, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fault = fault_here(replace(seen, results=str(tmp_path / "file")))
    assert fault is not None
    assert "is a file, not a folder" in fault.remedy


def test_data_that_are_not_there_are_a_fault(seen: Seen, tmp_path: Path) -> None:
    fault = fault_here(replace(seen, data={str(tmp_path / "gone"): "0" * 20}))
    assert fault is not None
    assert fault.what.endswith("/gone are not seen by")
    assert "does not exist" in fault.remedy


def test_data_at_a_uri_are_compared_without_a_copy(
    seen: Seen, phantom_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = read_manifest(phantom_folder).digest
    monkeypatch.setattr(nodes, "data_store", lambda place: open_store(str(phantom_folder)))
    assert fault_here(replace(seen, data={"s3://bucket/data": digest})) is None
    fault = fault_here(replace(seen, data={"s3://bucket/data": "0" * 20}))
    assert fault is not None
    assert fault.what == "other data than here are in s3://bucket/data on"


def test_other_data_at_the_same_path_are_a_fault(seen: Seen) -> None:
    (folder,) = seen.data
    fault = fault_here(replace(seen, data={folder: "0" * 20}))
    assert fault is not None
    assert fault.what == f"other data than here are in {folder} on"


def test_another_revision_of_the_stages_is_a_fault(seen: Seen) -> None:
    fault = fault_here(replace(seen, revisions={**REVISIONS, "adapt": 0}))
    assert fault is not None
    assert fault.what == "another version of fairfm is on"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of a Ray."""
    with cluster_of({"num_cpus": 1}, {"num_cpus": 1}) as made:
        ray.init(address=made.address, log_to_driver=False)
        yield made
        ray.shutdown()


class Elsewhere(ArtifactStore):
    """A store whose location means something else on other nodes."""

    def write_bytes(self, content: bytes, *parts: str) -> None:
        super().write_bytes(content, *parts)
        shutil.move(self.path(*parts), self.path("hidden"))


@pytest.mark.ray
@pytest.mark.slow
def test_every_node_is_asked_and_named(
    cluster: Cluster, tmp_path: Path, phantom_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[None] = []
    store = open_store(str(tmp_path / "results"))
    check_nodes(store, [str(phantom_folder)], lambda: checks.append(None))
    assert checks, "nobody could have ended the wait"
    assert not (tmp_path / "results" / TOKENS).exists()

    other = Elsewhere(store.filesystem, store.root, store.location)
    with pytest.raises(BadInput) as refused:
        check_nodes(other, [str(phantom_folder)], lambda: None)
    address = ray.nodes()[0]["NodeManagerAddress"]
    assert f"results {store.location} are not seen by node " in str(refused.value)
    assert str(refused.value).count(address) == 2


class Cut:
    """Ray with one node, which joins late and whose process dies before its first answer."""

    def __init__(self) -> None:
        self.up: list[dict[str, Any]] = []
        self.asked = 0

    def nodes(self) -> list[dict[str, Any]]:
        return self.up

    def wait(self, asked: list[int], timeout: float) -> tuple[list[int], list[int]]:
        return asked, []

    def get(self, question: int) -> None:
        if question == 1:
            raise WorkerCrashedError


def test_a_node_whose_process_dies_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = Cut()

    def ask(node: str, seen: Seen) -> int:
        cut.asked += 1
        return cut.asked

    monkeypatch.setattr(nodes, "ray", cut)
    monkeypatch.setattr(nodes, "_ask", ask)
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.0)
    joining = JoiningNodes(open_store(str(tmp_path)), [])
    cut.up = [{"NodeID": "new", "Alive": True, "Resources": {"CPU": 1.0}}]
    for _ in range(4):
        joining.check()
    assert cut.asked == 2


def until_refused(joining: JoiningNodes) -> None:
    while True:
        joining.check()


@pytest.mark.ray
@pytest.mark.cluster
def test_a_node_that_joins_later_is_asked_too(
    cluster: Cluster, tmp_path: Path, phantom_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.0)
    store = open_store(str(tmp_path / "results"))
    other = Elsewhere(store.filesystem, store.root, store.location)
    with (
        closing(JoiningNodes(store, [str(phantom_folder)])) as seeing,
        closing(JoiningNodes(other, [str(phantom_folder)])) as blind,
    ):
        seeing.check()
        added = cluster.add_node(num_cpus=1)
        seeing.check()
        assert len(list((tmp_path / "results" / TOKENS).iterdir())) == 1
        while seeing._asked:
            seeing.check()
        assert not (tmp_path / "results" / TOKENS).exists()
        with pytest.raises(BadInput, match=f"results {store.location} are not seen by node "):
            until_refused(blind)
    cluster.remove_node(added)
