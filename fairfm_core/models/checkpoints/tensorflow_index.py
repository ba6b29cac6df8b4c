"""The index file of a TensorBundle: LevelDB's sorted table, whose values are protocol buffers.

The table consists of blocks of entries, each followed by a byte for its compression and a checksum;
an index block with their offsets and sizes; and a footer of 48 bytes that ends in a magic number.
`read_table` gives its keys and values; `fields`, `messages` and `numbers` read a value, of which
only a few numbers are needed, without its schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fairfm_core.models.checkpoints.crc32c import masked_crc32c

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
COMPRESSIONS = {1: "snappy"}


def read_table(data: bytes) -> dict[bytes, bytes]:
    """Every key and value of the table.

    Raises ValueError for a wrong magic number, and for a block that is compressed, truncated or
    does not match its checksum.
    """
    if len(data) < FOOTER or int.from_bytes(data[-8:], "little") != MAGIC:
        raise ValueError(
            "it does not end in the magic number of an index: it is another file, or truncated"
        )
    footer = data[-FOOTER:]
    _, at = _handle(footer, 0)  # the meta index, which TensorFlow leaves empty
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
    block, at = bytes_at(data, offset, size)
    trailer, _ = bytes_at(data, at, 5)
    if trailer[0]:
        kind = COMPRESSIONS.get(trailer[0], f"method {trailer[0]}")
        raise ValueError(f"its blocks are compressed ({kind}), which cannot be read")
    if masked_crc32c(block + trailer[:1]) != int.from_bytes(trailer[1:], "little"):
        raise ValueError("a block does not match its checksum")
    return block


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values; a key is stored without the prefix that it shares with the previous one."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block is damaged")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        unshared, at = varint(block, at)
        length, at = varint(block, at)
        suffix, at = bytes_at(block, at, unshared)
        value, at = bytes_at(block, at, length)
        key = key[:shared] + suffix
        yield key, value


# Protocol-buffer messages as raw fields


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The base-128 number at `at` and the position after it; raises ValueError if it is
    truncated."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it ends inside a number")


def bytes_at(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """`size` bytes at `at` and the position after them; raises ValueError if there are fewer."""
    if at + size > len(data):
        raise ValueError(f"it ends {at + size - len(data)} bytes too early")
    return data[at : at + size], at + size


def _delimited(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = varint(data, at)
    return bytes_at(data, at, size)


def _fixed(size: int) -> Callable[[bytes, int], tuple[int, int]]:
    def number(data: bytes, at: int) -> tuple[int, int]:
        value, at = bytes_at(data, at, size)
        return int.from_bytes(value, "little"), at

    return number


WIRE: dict[int, Callable[[bytes, int], tuple[int | bytes, int]]] = {
    0: varint,
    1: _fixed(8),
    2: _delimited,
    5: _fixed(4),
}


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The number and value (an integer or bytes) of each field, in the order of the message.

    Raises ValueError for a damaged message.
    """
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        if tag & 7 not in WIRE:
            raise ValueError(f"wire type {tag & 7} of a message is not known")
        value, at = WIRE[tag & 7](message, at)
        yield tag >> 3, value


def messages(message: bytes, number: int) -> list[bytes]:
    """The values of a repeated field of messages or strings."""
    return [value for n, value in fields(message) if n == number and isinstance(value, bytes)]


def numbers(message: bytes) -> dict[int, int]:
    """The values of the fields that are integers; the last one of a repeated field."""
    return {n: value for n, value in fields(message) if isinstance(value, int)}
