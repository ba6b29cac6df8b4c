"""Ways in which a file in a results folder can be damaged, by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def flip(path: Path) -> None:
    """One byte in the middle changes; size and modification time stay."""
    content, before = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 0x10
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path: Path) -> None:
    """The second half is lost."""
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    """As some file systems leave a file after a loss of power."""
    os.truncate(path, 0)


def delete(path: Path) -> None:
    """Somebody tidied up."""
    path.unlink()


def link(path: Path) -> None:
    """The content lies elsewhere."""
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


def pipe(path: Path) -> None:
    """Reading it would wait for ever."""
    path.unlink()
    os.mkfifo(path)


def swap(path: Path) -> None:
    """The same file of another stage of the kind takes its place, with all its times."""
    inner = path.relative_to(path.parents[1 if path.parent.name != "predictions" else 2])
    kind = path.parents[len(inner.parts) - 1]
    others = sorted(kind.glob(f"*/{Path(*inner.parts[1:])}"))
    other = next(each for each in others if each != path and each.read_bytes() != path.read_bytes())
    kept = path.with_name("kept")
    path.rename(kept)
    shutil.copy2(other, path)
    kept.unlink()


DAMAGES: dict[str, Callable[[Path], None]] = {
    each.__name__: each for each in (flip, cut, empty, delete, link, pipe, swap)
}
