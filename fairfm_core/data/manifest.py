"""The manifest of a prepared data set: written last, so its presence means a complete set."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, field_validator

from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.frozen import Frozen
from fairfm_core.config.yaml_input import faults_of
from fairfm_core.errors import BadInput
from fairfm_core.storage.markers import is_sealed, parse_object, sealed

SCHEMA = 1
MANIFEST, COHORT, IMAGES = "manifest.json", "cohort.parquet", "images.npy"
HASHES = "hashes.npy"
Resize = Literal["square", "crop", "pad"]
"""How images become squares. `square`: the whole image, squeezed. `crop`: the shorter side is
resized, the longer one cropped. `pad`: the longer side is resized, the shorter one padded with
black."""
RESIZING = {"square": "", "crop": ", aspect kept by cropping", "pad": ", aspect kept by padding"}
IMAGE_COUNT, SEAL = "images", "seal"
READING = 2
"""Raised when files that are not plain 8-bit images are read otherwise than before."""
PREPARE = "fairfm data prepare KIND SOURCE --out"


class Digests(Frozen):
    """SHA-256 of the image store's file and of the cohort's content, in hex."""

    images: str
    cohort: str


class Checksums(Frozen):
    """XXH3 checksums (128 bits, hex) of files, compared whenever the data set is opened.

    They are fast where `Digests` are identity: the same content may be written as other bytes.
    """

    cohort: str
    """Of cohort.parquet; another file is accepted if its content has the cohort's digest."""
    hashes: str
    """Of hashes.npy, which holds a checksum of each image."""


class Manifest(Frozen):
    """What a prepared folder holds and where it came from, without paths or times.

    The file also holds `digest`, and `seal`, the checksum of everything else in it: `kind` and
    `origin` decide which data sets may share patients. Earlier versions wrote no seal.
    """

    schema_version: int = SCHEMA
    kind: str
    size: int
    """Height and width of the stored images."""
    interpolation: Literal["bicubic", "drawn"]
    """How pixels were made: resized from files, or drawn at this size."""
    resize: Resize = "square"
    """How images of other shapes became squares."""
    reading: int = 1
    """The version of reading deep, windowed and turned image files; see `READING`."""
    counts: dict[str, int]
    notes: dict[str, int]
    origin: dict[str, Any]
    digests: Digests
    request: str
    """Identity of the request: the same request reuses the finished store."""
    checksums: Checksums | None = None
    """Null in a data set that an earlier version prepared, until `fairfm data seal`."""

    @field_validator("counts")
    @classmethod
    def _counts_images(cls, counts: dict[str, int]) -> dict[str, int]:
        if IMAGE_COUNT not in counts:
            raise BadInput(f"must give the number of {IMAGE_COUNT}")
        return counts

    @property
    def digest(self) -> str:
        """Identity of the content: images, cohort, size, interpolation and kind of resizing."""
        content = {"images": self.digests.images, "cohort": self.digests.cohort}
        pixels = {"size": self.size, "interpolation": self.interpolation}
        return fingerprint(content | pixels | unless_square(self.resize))

    @property
    def resizing(self) -> str:
        """How the pixels were made, in words: `bicubic, aspect kept by cropping`."""
        return self.interpolation + RESIZING[self.resize]


def unless_square(resize: Resize) -> dict[str, str]:
    """The kind of resizing as a part of an identity, which the default is not."""
    return {} if resize == "square" else {"resize": resize}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a prepared folder; BadInput where there is none, or of another schema."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        exists = Path(folder).exists()
        state = "is not a prepared data set" if exists else "does not exist"
        raise BadInput(f"{folder} {state}; make one with: {PREPARE} {folder}")
    try:
        fields = parse_object(path.read_bytes())
        version = fields.get("schema_version")
        if version != SCHEMA:
            raise BadInput(
                f"{folder} was prepared with schema {version}, this version reads schema {SCHEMA}; "
                f"prepare it again in a new folder with: {PREPARE} NEW_FOLDER"
            )
        intact = SEAL not in fields or is_sealed(fields)
        digest, _ = fields.pop("digest", None), fields.pop(SEAL, None)
        manifest = Manifest.model_validate(fields)
    except BadInput:
        raise
    except ValueError as error:
        wrong = faults_of(Manifest, error)[0] if isinstance(error, ValidationError) else error
        raise BadInput(f"{path} is damaged ({wrong}); prepare the data set again") from error
    if digest != manifest.digest or not intact:
        raise BadInput(f"{path} was changed after it was written; prepare the data set again")
    return manifest


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Writes the manifest under a temporary name, then renames it in one step."""
    partial = folder / f".{MANIFEST}.partial"
    fields = sealed(manifest.model_dump(mode="json") | {"digest": manifest.digest})
    with open(partial, "w", encoding="utf-8") as file:
        file.write(json.dumps(fields, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, folder / MANIFEST)
