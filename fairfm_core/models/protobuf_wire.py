"""Protocol-buffer messages as raw fields, for readers that need a few numbers of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The base-128 number at `at`, and where what follows begins; raises ValueError at the end."""
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


def taken(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """`size` bytes at `at`, and where what follows begins; raises ValueError if there are fewer."""
    if at + size > len(data):
        raise ValueError(f"it ends {at + size - len(data)} bytes too early")
    return data[at : at + size], at + size


def _delimited(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = varint(data, at)
    return taken(data, at, size)


def _fixed(size: int) -> Callable[[bytes, int], tuple[int, int]]:
    def number(data: bytes, at: int) -> tuple[int, int]:
        value, at = taken(data, at, size)
        return int.from_bytes(value, "little"), at

    return number


WIRE: dict[int, Callable[[bytes, int], tuple[int | bytes, int]]] = {
    0: varint,
    1: _fixed(8),
    2: _delimited,
    5: _fixed(4),
}


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Each field's number and value, in the order of the message: a number, or bytes.

    Raises ValueError where the message is damaged.
    """
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        if tag & 7 not in WIRE:
            raise ValueError(f"wire type {tag & 7} of a message is not known")
        value, at = WIRE[tag & 7](message, at)
        yield tag >> 3, value


def messages(message: bytes, number: int) -> list[bytes]:
    """The values of a repeated field that holds messages or strings."""
    return [value for n, value in fields(message) if n == number and isinstance(value, bytes)]


def numbers(message: bytes) -> dict[int, int]:
    """The fields that hold numbers; of a repeated one the last."""
    return {n: value for n, value in fields(message) if isinstance(value, int)}
