"""Whether every node of a cluster sees the results and the data, asked when a run starts, and each
node that joins later when it does.

The driver writes a token into the results; each node reads it, compares the data's digests and says
which revision of the stages it would run. A node that sees something else would fail hours later,
or quietly train on other data.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import NodeDiedError, TaskUnschedulableError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.data.manifest import MANIFEST, read_manifest
from fairfm_core.data.node_copy import data_store
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.stages import REVISIONS

TOKENS = "tokens"
"""Folder of the results that holds the tokens of runs that are starting."""
ANSWER_SECONDS = 600.0
"""Longest wait for a node: a process has to start there, on a machine that may be at work."""
APPEAR_SECONDS = 30.0
"""How long a network file system may take to show a new file on another node."""
LOOK_SECONDS = 5.0
"""Between two looks for nodes that have joined."""
SAME_VERSION = "install the same version on every node"


@dataclass(frozen=True)
class Seen:
    """What every node must see."""

    results: str
    """Location of the results."""
    token: str
    """Name of the token, which is its content too."""
    data: Mapping[str, str]
    """Digest of the content by folder or URI."""
    revisions: Mapping[str, int]
    """Of the stages that the driver has planned."""


@dataclass(frozen=True)
class NodeFault:
    """What is wrong on a node: the words before its name and behind it."""

    what: str
    remedy: str


def check_nodes(store: ArtifactStore, places: Sequence[str], check: Callable[[], None]) -> None:
    """Refuse a run on a cluster with a node that does not see what the driver sees.

    `places` are folders and URIs of prepared data. `check` is called while nodes are waited for, to
    end early. Nothing is asked where there is one node. Raises BadInput that names the node and the
    reason.
    """
    up = _nodes_up()
    if len(up) == 1:
        return
    asked = [node for node in up if _runs_stages(node)]
    with _token(store) as token:
        faults = _faults(asked, Seen(store.location, token, _digests(places), REVISIONS), check)
    _refuse(faults)


class JoiningNodes:
    """Asks the nodes that join a cluster during a run what those of its start were asked.

    An autoscaler starts them, or somebody else. A stage may land there before the answer, which
    takes as long as the start of its process.
    """

    def __init__(
        self,
        store: ArtifactStore,
        places: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Those that are up now were asked."""
        self._store, self._places, self._clock = store, places, clock
        self._data: Mapping[str, str] | None = None
        self._known = {node["NodeID"] for node in _nodes_up()}
        self._looked = clock()
        self._asked: dict[Any, tuple[Mapping[str, Any], ExitStack]] = {}
        """Questions without an answer: the node, and what ends with the answer."""

    def check(self) -> None:
        """Raise BadInput for a node that does not see what the driver sees; never waits."""
        if self._clock() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._clock()
        for node in _nodes_up():
            if node["NodeID"] not in self._known and _runs_stages(node):
                self._ask(node)
            self._known.add(node["NodeID"])
        answered = ray.wait([*self._asked], timeout=0)[0] if self._asked else []
        for one in answered:
            node, closing = self._asked.pop(one)
            closing.close()
            try:
                fault = _answer(one)
            except WorkerCrashedError:  # the node may be leaving: asked again while it is up
                self._known.discard(node["NodeID"])
            else:
                _refuse([(_name(node), fault)] if fault else [])

    def close(self) -> None:
        """Nobody is waited for any more."""
        for _, closing in self._asked.values():
            closing.close()

    def _ask(self, node: Mapping[str, Any]) -> None:
        if self._data is None:
            self._data = _digests(self._places)
        closing = ExitStack()
        token = closing.enter_context(_token(self._store))
        seen = Seen(self._store.location, token, self._data, REVISIONS)
        self._asked[_ask(node["NodeID"], seen)] = node, closing


def _nodes_up() -> list[Mapping[str, Any]]:
    """The nodes that are up, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def _runs_stages(node: Mapping[str, Any]) -> bool:
    return bool(node["Resources"].get("CPU", 0) > 0)


def _digests(places: Sequence[str]) -> dict[str, str]:
    return {place: _digest(place) for place in places}


def _refuse(faults: Sequence[tuple[str, NodeFault]]) -> None:
    if faults:
        raise BadInput("; ".join(dict.fromkeys(_sentences(faults))))


def _sentences(faults: Sequence[tuple[str, NodeFault]]) -> Iterator[str]:
    """What is wrong, with the nodes of which it is true."""
    for _, fault in faults:
        nodes = sorted(node for node, other in faults if other == fault)
        yield f"{fault.what} node {first_ten(nodes)}{fault.remedy}"


@contextmanager
def _token(store: ArtifactStore) -> Iterator[str]:
    """A new file in the results, which is gone afterwards, with its folder on a disk."""
    token = secrets.token_hex(16)
    store.write_bytes(token.encode(), TOKENS, token)
    try:
        yield token
    finally:
        store.discard(store.path(TOKENS, token))
        if store.is_local:
            with suppress(OSError):  # another run is starting
                Path(store.path(TOKENS)).rmdir()


def _faults(
    nodes: Sequence[Mapping[str, Any]], seen: Seen, check: Callable[[], None]
) -> list[tuple[str, NodeFault]]:
    """The nodes that see something else, by name, and what they lack."""
    names = {_ask(node["NodeID"], seen): _name(node) for node in nodes}
    waiting, deadline, faults = list(names), time.monotonic() + ANSWER_SECONDS, []
    while waiting and time.monotonic() < deadline:
        check()
        answered, waiting = ray.wait(waiting, timeout=1.0)
        faults += [(names[one], fault) for one in answered if (fault := _first_answer(one))]
    late = NodeFault(
        f"no answer in {ANSWER_SECONDS / 60:.0f} minutes from", "; take it out of the cluster"
    )
    return faults + [(names[one], late) for one in waiting]


def _ask(node: str, seen: Seen) -> Any:
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(num_cpus=0, max_retries=1, scheduling_strategy=here)(fault_here)
    return task.remote(seen)


def _first_answer(reference: Any) -> NodeFault | None:
    """The answer at the start of a run, when no node should be leaving."""
    try:
        return _answer(reference)
    except WorkerCrashedError:
        return NodeFault("no process of fairfm lives on", "; look at its memory and Ray's logs")


def _answer(reference: Any) -> NodeFault | None:
    """What is wrong on the node that was asked; raises WorkerCrashedError if its process died."""
    try:
        fault: NodeFault | None = ray.get(reference)
    except WorkerCrashedError:
        raise
    except (NodeDiedError, TaskUnschedulableError):
        return None  # it has left the cluster meanwhile
    except Exception as error:  # Ray's boundary: it raises plain exceptions of many kinds
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        return NodeFault("this fairfm does not run on", f" ({reason}); {SAME_VERSION}")
    return fault


def fault_here(seen: Seen) -> NodeFault | None:
    """What this machine does not see as the driver does, and what to do; None if it sees all."""
    if dict(seen.revisions) != REVISIONS:
        return NodeFault("another version of fairfm is on", f"; {SAME_VERSION}")
    if reason := _token_fault(seen):
        return NodeFault(
            f"results {seen.results} are not seen by",
            f" ({reason}); mount one file system at the same path on every node, or give "
            "--results s3://BUCKET/FOLDER",
        )
    faults = (_data_fault(place, digest) for place, digest in seen.data.items())
    return next((fault for fault in faults if fault is not None), None)


def _token_fault(seen: Seen) -> str | None:
    """Why the token cannot be read; None if it is there."""
    deadline = time.monotonic() + APPEAR_SECONDS
    while True:
        try:
            content = open_store(seen.results).read_bytes(TOKENS, seen.token)
        except FileNotFoundError:
            fault = "the token of this run is not there"
        except (OSError, BadInput) as error:
            fault = " ".join(str(error).split())
        else:
            return None if content == seen.token.encode() else "the token of this run differs"
        if time.monotonic() > deadline:
            return fault
        time.sleep(0.5)


def _data_fault(place: str, digest: str) -> NodeFault | None:
    remedy = "; mount or copy the same prepared data there"
    try:
        found = _digest(place)
    except (OSError, BadInput, KeyError) as error:
        return NodeFault(
            f"data {place} are not seen by", f" ({str(error).partition(';')[0]}){remedy}"
        )
    if found == digest:
        return None
    return NodeFault(f"other data than here are in {place} on", f" (digest {found[:12]}){remedy}")


def _digest(place: str) -> str:
    """The digest of prepared data; those at a URI are not copied for it, which may take long."""
    if "://" in place:
        return str(data_store(place).read_json(MANIFEST)["digest"])
    return read_manifest(Path(place)).digest


def _name(node: Mapping[str, Any]) -> str:
    """The name and address of a node."""
    host, address = node["NodeManagerHostname"], node["NodeManagerAddress"]
    return address if host == address else f"{host} ({address})"
