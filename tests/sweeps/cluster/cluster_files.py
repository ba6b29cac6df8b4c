"""The cluster files that we ship, filled in as a user would."""

from __future__ import annotations

from pathlib import Path

from sweeps.cluster.description import shipped

FILLED_IN = {
    "ami-00000000000000000": "ami-0123456789abcdef0",
    "sg-00000000000000000": "sg-0123456789abcdef0",
    "fs-00000000000000000": "fs-0123456789abcdef0",
    "ghcr.io/OWNER/": "ghcr.io/lab/",
    "<your-project>": "lab",
    "<your-image>": "family/ubuntu",
    "<your-filestore>": "10.0.0.2",
}


def filled_in(name: str, folder: Path, changes: dict[str, str] | None = None) -> Path:
    """A copy of the shipped file `name`, with texts replaced; each of `changes` must occur."""
    text = shipped(name).read_text(encoding="utf-8")
    for old, new in FILLED_IN.items():
        text = text.replace(old, new)
    for old, new in (changes or {}).items():
        assert old in text, f"{name}.yaml has no {old}"
        text = text.replace(old, new)
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path
