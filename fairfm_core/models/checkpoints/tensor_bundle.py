"""TensorFlow checkpoints read without TensorFlow: the variables of a SavedModel or of a Saver.

A TensorBundle is `<prefix>.index`, a sorted table from keys to dtype, shape and position, and
shards `<prefix>.data-00000-of-00001` of raw little-endian arrays. In TensorFlow 1 the keys are the
variables' names; in TensorFlow 2 they are those of objects, whose graph gives the names. Graphs of
operations are never run. Both files are checked against their CRC-32C.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.crc32c import masked_crc32c
from fairfm_core.models.checkpoints.tensorflow_index import (
    bytes_at,
    messages,
    numbers,
    read_table,
    varint,
)

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
SLICE = "\0"
"""First character of the binary keys of a variable's slices."""
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 19: "<f2"}
"""NumPy types by TensorFlow's number, of those that can be read."""


@dataclass(frozen=True)
class Entry:
    """Type, shape and position of one tensor."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    sliced: bool


@dataclass(frozen=True)
class TensorBundle:
    """An open checkpoint: `names` maps each variable's name to its key in `entries`."""

    prefix: Path
    shards: int
    entries: dict[str, Entry]
    names: dict[str, str]

    def files(self) -> tuple[Path, ...]:
        """The index and every shard."""
        shards = tuple(self._shard(number) for number in range(self.shards))
        return (_with(self.prefix, ".index"), *shards)

    def read(self, name: str) -> NDArray[Any]:
        """A variable's value; raises BadInput if its data are missing, truncated or not
        readable."""
        entry = self.entries[self.names.get(name, name)]
        if entry.sliced:
            raise BadInput(f"{self.prefix}: {name} is saved in slices, which cannot be read")
        if entry.dtype not in DTYPES:
            raise BadInput(
                f"{self.prefix}: {name} has TensorFlow's dtype {entry.dtype}, which cannot be read"
            )
        dtype = np.dtype(DTYPES[entry.dtype])
        if entry.size != math.prod(entry.shape) * dtype.itemsize:
            raise BadInput(
                f"{self.prefix}: {name} has {entry.size} bytes for shape {entry.shape} of {dtype}"
            )
        raw = self._raw(name, entry)
        if masked_crc32c(raw) != entry.crc:
            raise BadInput(f"{self.prefix}: {name} does not match its checksum; copy it again")
        return raw.view(dtype).reshape(entry.shape)

    def _raw(self, name: str, entry: Entry) -> NDArray[np.uint8]:
        shard = self._shard(entry.shard)
        try:
            if shard.stat().st_size < entry.offset + entry.size:
                raise BadInput(f"{shard} is truncated before or within {name}; copy it again")
            return np.fromfile(shard, np.uint8, count=entry.size, offset=entry.offset)
        except OSError as error:
            raise BadInput(f"{shard} cannot be read: {error.strerror or error}") from error

    def _shard(self, number: int) -> Path:
        return _with(self.prefix, f".data-{number:05d}-of-{self.shards:05d}")


def open_bundle(path: Path) -> TensorBundle:
    """The checkpoint at a SavedModel's folder, its `variables`, an `.index` file or a prefix.

    Raises BadInput if there is none or more than one, or if its index cannot be read.
    """
    prefix = _prefix(path)
    index = _with(prefix, ".index")
    try:
        table = {_text(key): value for key, value in read_table(index.read_bytes()).items()}
        header = numbers(table.pop(""))
        entries = {key: _entry(value) for key, value in table.items()}
    except (ValueError, KeyError, OSError) as error:
        raise BadInput(f"{index} is not a readable TensorBundle index: {error}") from error
    if header.get(2):
        raise BadInput(f"{index} is big-endian, which cannot be read")
    plain = {key: key for key in entries if not key.startswith(SLICE)}
    bundle = TensorBundle(prefix, header.get(1, 1), entries, plain)
    return replace(bundle, names=_names(bundle))


def _prefix(path: Path) -> Path:
    """The common prefix of the paths of a checkpoint's files."""
    if path.is_file():
        return path.with_suffix("") if path.suffix == ".index" else path
    if _with(path, ".index").is_file():
        return path
    found = sorted([*path.glob("variables/*.index"), *path.glob("*.index")])
    if len(found) == 1:
        return found[0].with_suffix("")
    problem = f"{len(found)} of them: name one" if found else "none"
    raise BadInput(f"{path} should hold a TensorFlow checkpoint (*.index), but holds {problem}")


def _text(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")


def _with(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


def _entry(message: bytes) -> Entry:
    """A BundleEntryProto: 1 dtype, 2 shape, 3 shard, 4 offset, 5 size, 6 crc32c, 7 slices."""
    value = numbers(message)
    sizes = [numbers(size) for shape in messages(message, 2) for size in messages(shape, 2)]
    shape = tuple(size.get(1, 0) for size in sizes)
    dtype, shard, offset, size, crc = (value.get(number, 0) for number in (1, 3, 4, 5, 6))
    return Entry(dtype, shape, shard, offset, size, crc, bool(messages(message, 7)))


def _names(bundle: TensorBundle) -> dict[str, str]:
    """Variables' names -> keys; for TensorFlow 2 from its graph, for names that are unique."""
    if GRAPH not in bundle.entries:
        return bundle.names
    try:
        graph = _only_string(bundle)
        pairs = [
            (messages(attribute, 2), messages(attribute, 3)[0].decode())
            for node in messages(graph, 1)
            for attribute in messages(node, 2)
        ]
    except BadInput:
        raise  # also a ValueError, but its message is final
    except (ValueError, IndexError) as error:
        raise BadInput(f"{bundle.prefix}: its graph of objects is damaged: {error}") from error
    named = [(full[0].decode() if full else "", key) for full, key in pairs]
    times = Counter(name for name, _ in named)
    return {(name if name and times[name] == 1 else key): key for name, key in named}


def _only_string(bundle: TensorBundle) -> bytes:
    """The only string of the graph's tensor, stored as length, checksum of the length and bytes.

    The tensor's own checksum covers the same, with the length as four bytes.
    """
    entry = bundle.entries[GRAPH]
    raw = bundle._raw(GRAPH, entry).tobytes()
    length, at = varint(raw, 0)
    checksum, at = bytes_at(raw, at, 4)
    text, _ = bytes_at(raw, at, length)
    if masked_crc32c(length.to_bytes(4, "little") + checksum + text) != entry.crc:
        raise ValueError("it does not match its checksum")
    return text
