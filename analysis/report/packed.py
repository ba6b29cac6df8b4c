"""Data inside a page, compressed: what its script unpacks, so that a large study stays a small
file."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any


def packed(content: dict[str, Any]) -> str:
    """JSON values as base64 of gzip, the same text for the same values.

    Base64 has no character that ends an HTML element.
    """
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
