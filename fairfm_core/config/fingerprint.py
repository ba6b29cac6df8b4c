"""Identity is content: the canonical JSON of plain values and its fingerprint.

What enters a fingerprint is decided in `fairfm_core.stages`: the values that differ from their
defaults, so that a new field with a default leaves every stored identity alone. Paths, names and
times never enter one.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

FINGERPRINT_LENGTH = 20
"""Hex digits of a fingerprint: 80 bits."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(value: Any) -> str:
    """The first 20 hex digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:FINGERPRINT_LENGTH]
