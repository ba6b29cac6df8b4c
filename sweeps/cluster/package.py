"""The code and the study that travel to a cluster: what, how much, and of which commit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fairfm_core.errors import BadInput, first_ten
from fairfm_core.storage.scratch import scratch_folder
from sweeps.code_version import RECORDED, code_version

LARGEST = 512 * 1024**2
"""Bytes; Ray takes no package of more, and code is never so large."""
OWN_CODE = Path("sweeps", "cli.py")
"""A file by which a checkout of this program is known."""
SECRET = re.compile(r"\.env(\..+)?|.+\.(pem|key|p12)|id_(rsa|ed25519|ecdsa)|\.netrc|\.pgpass")
"""Names of files that hold keys and passwords."""
UNSEEN = {"__pycache__", "results", "node_modules"}
"""Folders that never travel from a folder without git; nor do hidden ones."""


@dataclass(frozen=True)
class Package:
    """A folder with copies of what travels."""

    folder: Path
    files: int
    size: int
    """Bytes of all files."""
    root: Path
    """The project that they were copied from."""
    version: str | None
    """Version, commit and `+dirty` of the code in it; None where the cluster's own code runs."""
    secrets: tuple[str, ...] = ()
    """Files that were left out because of their names."""

    def path_of(self, file: Path) -> str:
        """Path of a file of the project in the package."""
        return str(_below(self.root, file))

    @property
    def told(self) -> str:
        """What travels, in one line."""
        code = "the cluster's own fairfm runs it" if self.version is None else self.version
        kept = f"; left out as secret: {first_ten(self.secrets)}" if self.secrets else ""
        return f"package: {self.files} files, {self.size / 1e6:.1f} MB ({code}){kept}"


@contextmanager
def packed(start: Path, *named: Path) -> Iterator[Package]:
    """Copies of the files of the project around `start`, removed when the block ends.

    The project is the git checkout that holds `start`, or `start` itself. Files that git ignores
    stay, except those that are `named`. Raises BadInput for one outside the project and for more
    than Ray takes.
    """
    root = project_root(start)
    wanted = listed_files(root) | {_below(root, file) for file in named}
    secrets, files = _sorted_out(root, wanted)
    size = sum((root / file).stat().st_size for file in files)
    if size > LARGEST:
        raise BadInput(_too_large(root, files, size))
    with scratch_folder() as folder:
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / file, folder / file)
        version = code_version(root) if OWN_CODE in files else None
        if version is not None:
            (folder / RECORDED).write_text(f"{version}\n")
        yield Package(folder, len(files), size, root, version, secrets)


def _below(root: Path, file: Path) -> Path:
    """Path of a file below the project; raises BadInput if it is not there."""
    if not file.is_file():
        raise BadInput(f"there is no study {file}")
    if not file.resolve().is_relative_to(root.resolve()):
        raise BadInput(
            f"{file} is outside {root}, which travels to the cluster: move the study into it, or "
            "run the command in the study's folder"
        )
    return file.resolve().relative_to(root.resolve())


def project_root(start: Path) -> Path:
    """The git checkout that holds the folder, or the folder itself."""
    found = _git(start, "rev-parse", "--show-toplevel")
    return Path(found.strip()) if found else Path(os.path.normpath(start.absolute()))


def listed_files(root: Path) -> set[Path]:
    """The project's files, as paths below it: without git, all but hidden ones and caches."""
    names = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if names is not None:
        return {Path(name) for name in names.split("\0") if name}
    files: set[Path] = set()
    for parent, folders, found in os.walk(root):
        folders[:] = [name for name in folders if name not in UNSEEN and name[0] != "."]
        files |= {Path(parent, name).relative_to(root) for name in found}
    return files


def _sorted_out(root: Path, files: set[Path]) -> tuple[tuple[str, ...], list[Path]]:
    """Names of secret files, and the files that travel: real ones inside the project."""
    real = [
        file
        for file in sorted(files)
        if (root / file).is_file() and (root / file).resolve().is_relative_to(root.resolve())
    ]
    secret = [file for file in real if SECRET.fullmatch(file.name)]
    return tuple(map(str, secret)), [file for file in real if file not in secret]


def _too_large(root: Path, files: Sequence[Path], size: int) -> str:
    largest = sorted(files, key=lambda file: -(root / file).stat().st_size)[:3]
    named = ", ".join(f"{file} ({(root / file).stat().st_size / 1e6:.0f} MB)" for file in largest)
    return (
        f"{root} holds {size / 1e6:.0f} MB that would travel, more than {LARGEST / 1e6:.0f}: "
        f"{named}; data do not travel: put them into .gitignore, or elsewhere"
    )


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None outside a checkout and without git."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
