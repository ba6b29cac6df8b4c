"""The version of this program's code."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

RECORDED = ".fairfm-code-version"
"""File beside code that travels without git: the version that it had where it came from."""


def code_version(folder: Path | None = None) -> str:
    """The package version; in a checkout also the git commit and `+dirty` for local changes.

    `folder` holds the code, by default that which runs.
    """
    folder = folder or Path(__file__).resolve().parents[1]
    if (folder / RECORDED).is_file():
        return (folder / RECORDED).read_text().strip()
    version = metadata.version("fairfm")
    try:
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        dirty = "+dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else ""
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version} {commit}{dirty}"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
