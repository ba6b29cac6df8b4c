"""Prepared data sets in a remote store: copied once to each machine, into the user's cache folder.

    <cache>/data/<key>/<name>/      the copy
    <cache>/data/<key>/source       where it came from
    <cache>/data/<key>.partial      a copy that is being made, or was cut short by a kill
    <cache>/data/<key>.lock         held while it is made

The key is the checksum of the manifest and the name. The manifest is read from the store each time,
so a data set that has changed is another copy. Copies may be removed while nothing runs.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pyarrow import fs

from fairfm_core.data.image_store.store import store_digest
from fairfm_core.data.manifest import (
    COHORT,
    HASHES,
    IMAGES,
    MANIFEST,
    PREPARE,
    Manifest,
    read_manifest,
)
from fairfm_core.errors import BadInput
from fairfm_core.storage.checksums import checksum_of
from fairfm_core.storage.file_store import FileStore, is_remote, open_remote
from fairfm_core.storage.kept import cache_folder
from fairfm_core.storage.locks import file_lock

SOURCE, PARTIAL, LOCK = "source", ".partial", ".lock"
INCOMPLETE = (
    "does not hold what its manifest says: it is being replaced, or damaged; give the same command "
    "again, or prepare the data set again"
)


@dataclass(frozen=True)
class NodeCopy:
    """A copy in the cache folder of this machine."""

    folder: Path
    """Of the key: the copy and its source."""
    source: str
    """The URI it came from."""
    size: int
    """Bytes."""


def absolute_place(place: str) -> str:
    """A URI as it is, or the absolute path of a local folder."""
    return place.rstrip("/") if is_remote(place) else str(Path(place).absolute())


def data_store(place: str) -> FileStore:
    """The files of a data set at a URI; raises BadInput for a URI with options.

    The name of a data set is the last part of its URI.
    """
    if "?" in place:
        raise BadInput(
            f"{place}: data are named without options; give the address of the storage service in "
            "AWS_ENDPOINT_URL and its region in AWS_DEFAULT_REGION"
        )
    filesystem, root = open_remote(place)
    return FileStore(filesystem, root, place.rstrip("/"))


def local_folder(place: str | Path) -> Path:
    """The folder of a prepared data set on this machine: itself, or its copy of what is at a URI.

    Processes that need the same copy wait for the one that makes it. A copy that a kill has cut
    short is made again. Raises BadInput where the URI holds no prepared data set.
    """
    if isinstance(place, Path) or not is_remote(place):
        return Path(place)
    store = data_store(place)
    try:
        manifest = store.read_bytes(MANIFEST)
    except FileNotFoundError:
        raise BadInput(
            f"{place} holds no prepared data set (there is no {MANIFEST}); make one with: "
            f"{PREPARE} {place}"
        ) from None
    folder = _place_of(store, manifest)
    key = folder.parent
    if not (folder / MANIFEST).exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(key.with_suffix(LOCK), fcntl.LOCK_EX):
            if not (folder / MANIFEST).exists():
                _copy(store, manifest, folder)
    return folder


def local_files(place: str) -> Path:
    """A file or folder of tables on this machine: itself, or its copy of what is at a URI.

    A copy serves as long as the listing of the URI is the same: names, sizes and times. Raises
    BadInput where there is nothing.
    """
    if not is_remote(place):
        return Path(place)
    store = data_store(place)
    found = store.filesystem.get_file_info([store.root])
    if found[0].type == fs.FileType.Directory:
        found = store.filesystem.get_file_info(fs.FileSelector(store.root, recursive=True))
    files = {each.path: (each.size, each.mtime_ns) for each in found if each.is_file}
    if not files:
        raise BadInput(f"there is no file or folder {place}")
    key = copies_folder() / checksum_of(repr((place, sorted(files.items()))).encode())
    key.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(key.with_suffix(LOCK), fcntl.LOCK_EX):
        if not key.exists():
            with _made(store, key) as partial:
                for path in files:
                    (partial / path).parent.mkdir(parents=True, exist_ok=True)
                    inner = path.removeprefix(store.root).strip("/")
                    store.download(partial / path, *([inner] if inner else []))
    return key / store.root


def manifest_of(place: str) -> Manifest:
    """The manifest of the prepared data set in a folder or at a URI."""
    return read_manifest(local_folder(place))


def copies_folder() -> Path:
    """The user's folder of copies."""
    return cache_folder() / "data"


def node_copies() -> Iterator[NodeCopy]:
    """The copies on this machine, also those that were cut short."""
    parent = copies_folder()
    for key in sorted(parent.iterdir()) if parent.is_dir() else ():
        if key.is_dir():
            source = key / SOURCE
            size = sum(file.stat().st_size for file in key.rglob("*") if file.is_file())
            yield NodeCopy(key, source.read_text().strip() if source.exists() else "", size)


def remove_copy(copy: NodeCopy) -> None:
    """Remove a copy; waits for a process that makes it."""
    with file_lock(copy.folder.with_suffix(LOCK), fcntl.LOCK_EX):
        shutil.rmtree(copy.folder)
    copy.folder.with_suffix(LOCK).unlink(missing_ok=True)


def upload(folder: Path, place: str) -> None:
    """Copy a prepared data set to a URI, the manifest last: without it there is no data set."""
    store = data_store(place)
    for name in (COHORT, HASHES, IMAGES):
        if (folder / name).exists():
            with store.uploading(name) as stream, (folder / name).open("rb") as file:
                shutil.copyfileobj(file, stream, 2**22)
    store.write_bytes((folder / MANIFEST).read_bytes(), MANIFEST)


def adopt_copy(folder: Path, place: str) -> None:
    """Make a folder that was sent to a URI this machine's copy, unless there is one."""
    key = _place_of(data_store(place), (folder / MANIFEST).read_bytes()).parent
    key.parent.mkdir(parents=True, exist_ok=True)
    (folder.parent / SOURCE).write_text(f"{place.rstrip('/')}\n")
    with file_lock(key.with_suffix(LOCK), fcntl.LOCK_EX):
        if not key.exists():
            folder.parent.rename(key)
    shutil.rmtree(folder.parent, ignore_errors=True)


def _place_of(store: FileStore, manifest: bytes) -> Path:
    """Where the copy of a data set with this manifest and the name that it has in a store lies."""
    name = PurePosixPath(store.root).name
    return copies_folder() / checksum_of(manifest + name.encode()) / name


def _copy(store: FileStore, manifest: bytes, folder: Path) -> None:
    """Fetch the files of a data set and verify the images' digest."""
    with _made(store, folder.parent) as partial:
        copy = partial / folder.name
        copy.mkdir()
        (copy / MANIFEST).write_bytes(manifest)
        try:
            for name in (COHORT, IMAGES, *([HASHES] if store.exists(HASHES) else [])):
                store.download(copy / name, name)
            _check_images(copy)
        except FileNotFoundError as error:
            raise BadInput(f"{store.location} {INCOMPLETE}") from error
        except BadInput as error:
            raise BadInput(str(error).replace(str(copy), store.location)) from error


@contextmanager
def _made(store: FileStore, key: Path) -> Iterator[Path]:
    """An empty folder that becomes the folder of a key when the block ends without an exception."""
    partial = key.with_suffix(PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)  # what a kill has left
    partial.mkdir()
    try:
        (partial / SOURCE).write_text(f"{store.location}\n")
        yield partial
        partial.rename(key)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_images(folder: Path) -> None:
    """Raise BadInput unless the images are those of the manifest; opening verifies the rest."""
    if store_digest(folder / IMAGES) != read_manifest(folder).digests.images:
        raise BadInput(f"{folder} {INCOMPLETE}")
