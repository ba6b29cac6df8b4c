"""A writer of TensorFlow's TensorBundle for tests, written apart from the reader.

Follows tensorflow/core/util/tensor_bundle and LevelDB's table format: prefix-compressed entries
with restart points, masked CRC-32C after each block, an index block, a footer with a magic number.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "bool": 10, "complex64": 8}
RESTART_EVERY = 3
BLOCK_ENTRIES = 7
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"


def bit_by_bit(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


TABLE = [bit_by_bit(byte) for byte in range(256)]


def crc(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register = register >> 8 ^ TABLE[(register ^ byte) & 0xFF]
    return register ^ 0xFFFFFFFF


def masked(value: int) -> bytes:
    rotated = value >> 15 | value << 17 & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) % 2**32)


def number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(place: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return number(place << 3) + number(value)
    return number(place << 3 | 2) + number(len(value)) + value


def entry(
    dtype: int, shape: tuple[int, ...], shard: int, offset: int, size: int, sum_: bytes
) -> bytes:
    dims = b"".join(field(2, field(1, length)) for length in shape)
    parts = [field(1, dtype), field(2, dims)]
    parts += [field(n, v) for n, v in ((3, shard), (4, offset), (5, size)) if v]
    return b"".join(parts) + number(6 << 3 | 5) + sum_


def block(items: list[tuple[bytes, bytes]]) -> bytes:
    out, restarts, before = bytearray(), [], b""
    for place, (key, value) in enumerate(items):
        shared = 0
        if place % RESTART_EVERY == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += number(shared) + number(len(key) - shared) + number(len(value))
        out += key[shared:] + value
        before = key
    restarts = restarts or [0]
    return bytes(out) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def table(items: dict[bytes, bytes], compression: int = 0) -> bytes:
    out = bytearray()

    def put(content: bytes) -> bytes:
        handle = number(len(out)) + number(len(content))
        kind = bytes([compression])
        out.extend(content + kind + masked(crc(content + kind)))
        return handle

    ordered, index = sorted(items.items()), []
    for start in range(0, len(ordered), BLOCK_ENTRIES):
        chunk = ordered[start : start + BLOCK_ENTRIES]
        index.append((chunk[-1][0], put(block(chunk))))
    handles = put(block([])) + put(block(index))
    return bytes(out) + handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def graph_of(names: dict[str, str]) -> bytes:
    """TrackableObjectGraph: one node a variable, with its full name and its key."""
    nodes = [
        field(2, field(1, b"VARIABLE_VALUE") + field(2, name.encode()) + field(3, key.encode()))
        for name, key in names.items()
    ]
    return b"".join(field(1, node) for node in [b"", *nodes])


def write_bundle(
    prefix: Path,
    variables: dict[str, NDArray[Any]],
    *,
    objects: bool = False,
    shards: int = 1,
    compression: int = 0,
    endianness: int = 0,
) -> None:
    """Write `variables` as TensorFlow 1's Saver does or, with `objects`, as TensorFlow 2."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = {
        name: f"v/{place}{ATTRIBUTE}" if objects else name for place, name in enumerate(variables)
    }
    data = [bytearray() for _ in range(shards)]
    items = {b"": field(1, shards) + (field(2, endianness) if endianness else b"")}
    for place, (name, value) in enumerate(variables.items()):
        shard = place % shards
        raw = np.ascontiguousarray(value).tobytes()
        dtype = NUMBERS[value.dtype.name]
        made = entry(dtype, value.shape, shard, len(data[shard]), len(raw), masked(crc(raw)))
        items[names[name].encode()] = made
        data[shard] += raw
    if objects:
        text = graph_of(names)
        length = struct.pack("<I", len(text))
        sum_ = masked(crc(length))
        raw = number(len(text)) + sum_ + text
        whole = masked(crc(length + sum_ + text))
        items[GRAPH.encode()] = entry(7, (), 0, len(data[0]), len(raw), whole)
        data[0] += raw
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(items, compression))
    for shard, content in enumerate(data):
        file = f"{prefix.name}.data-{shard:05d}-of-{shards:05d}"
        prefix.with_name(file).write_bytes(content)
