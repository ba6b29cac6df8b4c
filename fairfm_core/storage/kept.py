"""What is kept from command to command in the user's cache folder.

It may be removed at any time. A home that cannot be written to, or a file that cannot be read, only
costs the time of asking again.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """The user's folder of what can be made again: XDG_CACHE_HOME or ~/.cache, and `fairfm`."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "fairfm"


def recall(key: str) -> dict[str, Any] | None:
    """The answer that was kept under this key; None where there is none that can be read."""
    try:
        answer = json.loads(_file(key).read_bytes())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def keep(key: str, answer: dict[str, Any]) -> None:
    """Keep an answer of JSON values under a key, if there is a writable cache folder."""
    file = _file(key)
    temporary = file.with_name(f".{key}.{os.getpid()}.{threading.get_ident()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(answer))
        temporary.replace(file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()


def _file(key: str) -> Path:
    return cache_folder() / "answers" / f"{key}.json"
