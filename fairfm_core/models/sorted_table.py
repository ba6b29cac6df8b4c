"""LevelDB's sorted table as TensorFlow writes it: the index file of a TensorBundle.

Blocks of entries, each followed by a byte for its compression and a checksum; an index block that
says where they are; a footer of 48 bytes that ends in a magic number.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairfm_core.models.crc32c import masked_crc32c
from fairfm_core.models.protobuf_wire import taken, varint

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
COMPRESSIONS = {1: "snappy"}


def read_table(data: bytes) -> dict[bytes, bytes]:
    """Every key and value of the table.

    Raises ValueError for a wrong magic number, a compressed block, or one that is cut off or does
    not match its checksum.
    """
    if len(data) < FOOTER or int.from_bytes(data[-8:], "little") != MAGIC:
        raise ValueError("its last bytes are no table's magic number: another file, or cut off")
    footer = data[-FOOTER:]
    _, at = _handle(footer, 0)  # of the meta index, which TensorFlow leaves empty
    index, _ = _handle(footer, at)
    return {
        key: value
        for _, handle in _entries(_block(data, index))
        for key, value in _entries(_block(data, _handle(handle, 0)[0]))
    }


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """A block's offset and size."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _block(data: bytes, handle: tuple[int, int]) -> bytes:
    offset, size = handle
    block, at = taken(data, offset, size)
    trailer, _ = taken(data, at, 5)
    if trailer[0]:
        kind = COMPRESSIONS.get(trailer[0], f"method {trailer[0]}")
        raise ValueError(f"its blocks are compressed ({kind}), which is not read")
    if masked_crc32c(block + trailer[:1]) != int.from_bytes(trailer[1:], "little"):
        raise ValueError("a block does not match its checksum")
    return block


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values; a key is stored as what it does not share with the one before."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block is damaged")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        unshared, at = varint(block, at)
        length, at = varint(block, at)
        suffix, at = taken(block, at, unshared)
        value, at = taken(block, at, length)
        key = key[:shared] + suffix
        yield key, value
