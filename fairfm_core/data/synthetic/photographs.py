"""Patches of photographs: a pre-training domain of natural images without any medical data.

The cohort has the usual columns with another meaning. A "patient" is a region of a photograph, a
cell of a coarse grid; a label says which photograph a patch is from; sex, race and age are null.
Patches lie inside their region, so patches of two patients share no pixel, and a fraction or a
split by patient also separates pixels. Patch i of a photograph depends only on the seed, the
photograph's name and size, and i: a smaller number of patches is a prefix of a larger one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.data.image_store.decoding import UNREADABLE, decode_grey
from fairfm_core.data.image_store.resizing import Grey, resize
from fairfm_core.data.readers.source import DEFAULT_SIZE, ReadOptions, Source
from fairfm_core.data.readers.tabular.tables import file_sha256
from fairfm_core.data.splits import random_split
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.seeding import stream

SAMPLES = "sklearn"
"""The source that stands for scikit-learn's two photographs: china.jpg by danielbuechele and
flower.jpg by vultilion, both under CC BY 2.0."""
SUFFIXES = (".jpg", ".jpeg", ".png")
SAMPLING = 1
"""Increased whenever the same photographs and seed would give other patches."""
PATCHES = 2000
SMALLEST = 48
"""Pixels per side of the smallest crop; the largest fills the shorter side of its region."""
REGION = 128
"""Minimum side of a region in pixels, unless the photograph is smaller; always below twice that."""
MOST = 100
"""Maximum number of photographs: each is a label, and all are held in memory."""
MEANING = "regions stand for patients, photographs for labels; nothing medical"


@dataclass(frozen=True)
class Crop:
    """A square of a photograph: row and column of its region, and its place in pixels."""

    region: tuple[int, int]
    top: int
    left: int
    side: int


def read_photographs(source: str, options: ReadOptions) -> Source:
    """Patches of the photographs in a folder, or of scikit-learn's samples.

    Raises:
        BadInput: no such folder or package, no photographs or too many, one that is unreadable or
            too small, or fewer patches than photographs.
    """
    files = photograph_files(source)
    size, seed = options.size or DEFAULT_SIZE, options.seed or 0
    count = PATCHES if options.patches is None else options.patches
    if count < len(files):
        raise BadInput(
            f"--patches {count} is too few for {len(files)} photographs: give at least one for "
            f"each (default: {PATCHES:,})"
        )
    photographs = [_decoded(path) for path in files.values()]
    names = list(files)
    shapes = {name: grey.shape for name, grey in zip(names, photographs, strict=True)}
    of = [names[i % len(names)] for i in range(count)]
    crops = [crop_of(seed, name, i // len(names), *shapes[name]) for i, name in enumerate(of)]
    split = _split_of_regions(shapes, options)

    def draw(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        chosen = [(photographs[row % len(names)], crops[row]) for row in rows.tolist()]
        return np.stack([patch(grey, crop, size) for grey, crop in chosen])

    return Source(
        frame=_cohort(names, of, crops, split),
        notes={"photographs": len(names), "regions of photographs": len(split)},
        origin={
            "photographs": _hashes(files),
            "seed": seed,
            "sampling": SAMPLING,
            "meaning": MEANING,
        },
        draw=draw,
        size=size,
        interpolation="bicubic",
    )


def photograph_files(source: str) -> dict[str, Path]:
    """The photographs of a source by name (without the ending), in alphabetical order."""
    folder = _samples() if source == SAMPLES else Path(source)
    if not folder.is_dir():
        raise BadInput(
            f"photographs {source!r} is neither a folder nor the word {SAMPLES}, which stands for "
            "the two photographs that scikit-learn ships"
        )
    paths = sorted(path for path in folder.iterdir() if _is_photograph(path))
    if not 0 < len(paths) <= MOST:
        raise BadInput(
            f"{source} holds {len(paths)} photographs ({', '.join(SUFFIXES)}): 1 to {MOST} can be "
            "cut into patches; for a larger set describe a table of images (KIND table)"
        )
    files = {path.stem: path for path in paths}
    twice = [path.name for path in paths if files[path.stem] != path]
    if twice:
        raise BadInput(
            f"{source} holds photographs with the same name: {first_ten(twice)}; rename them"
        )
    return files


def crop_of(seed: int, name: str, i: int, height: int, width: int) -> Crop:
    """Crop i of a photograph: uniform region, log-uniform size, uniform place in the region."""
    which, scale, down, across = stream(seed, "photographs", name, i).random(4).tolist()
    rows, columns = _grid(height, width)
    row, column = divmod(int(which * rows * columns), columns)
    top, left = row * height // rows, column * width // columns
    tall = (row + 1) * height // rows - top
    wide = (column + 1) * width // columns - left
    largest = min(tall, wide)
    side = min(int(SMALLEST * ((largest + 1) / SMALLEST) ** scale), largest)
    place = top + int(down * (tall - side + 1)), left + int(across * (wide - side + 1))
    return Crop((row, column), *place, side)


def patch(grey: Grey, crop: Crop, size: int) -> Grey:
    """The crop of a grey photograph [H, W] as [size, size], bicubic and antialiased."""
    down, across = slice(crop.top, crop.top + crop.side), slice(crop.left, crop.left + crop.side)
    return resize(grey[down, across], size)


def _grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of regions."""
    return max(1, height // REGION), max(1, width // REGION)


def _patient(name: str, region: tuple[int, int]) -> str:
    return f"{name}/{region[0]}-{region[1]}"


def _split_of_regions(shapes: Mapping[str, tuple[int, ...]], options: ReadOptions) -> pd.Series:
    """The split of every region by patient id, drawn within each photograph.

    All regions are split, not only those with a patch, so the number of patches changes no split.
    """
    of = [(name, region) for name, shape in shapes.items() for region in np.ndindex(_grid(*shape))]
    frame = pd.DataFrame(
        {"patient_id": [_patient(*one) for one in of], "photograph": [one[0] for one in of]}
    )
    split = random_split(frame, options.split_seed, options.fractions, ["photograph"])
    return split.set_axis(frame["patient_id"])


def _cohort(names: list[str], of: list[str], crops: list[Crop], split: pd.Series) -> pd.DataFrame:
    """One row per patch; `of` holds the name of the photograph of each."""
    patients = [_patient(name, crop.region) for name, crop in zip(of, crops, strict=True)]
    unknown = pd.Series(index=range(len(crops)), dtype="str")
    columns = {
        "image_id": [f"{name}_{i // len(names):06d}" for i, name in enumerate(of)],
        "patient_id": patients,
        "sex": unknown,
        "race": unknown,
        "age": np.full(len(crops), np.nan),
    }
    labels = {f"y_{name}": (np.array(of) == name).astype(np.float64) for name in names}
    rest = {"split": split.loc[patients].to_numpy(), "row": np.arange(len(crops))}
    return pd.DataFrame(columns | labels | rest)


def _is_photograph(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each photograph's file; equal photographs would put a region in two splits."""
    hashes: dict[str, str] = {}
    for name, path in files.items():
        digest = file_sha256(path)
        if digest in hashes.values():
            raise BadInput(f"photograph {path} is a copy of another: remove one of them")
        hashes[name] = digest
    return hashes


def _samples() -> Path:
    """The folder of scikit-learn's photographs, found without a slow import."""
    found = importlib.util.find_spec(SAMPLES)
    roots = [] if found is None else list(found.submodule_search_locations or [])
    folders = [Path(root) / "datasets" / "images" for root in roots]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise BadInput(
        f"photographs {SAMPLES!r}: scikit-learn and its photographs are not installed; pip install "
        "scikit-learn, or name a folder of JPEG or PNG photographs"
    )


def _decoded(path: Path) -> Grey:
    """A photograph as grey uint8 [H, W]."""
    try:
        grey = decode_grey(path)
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(
            f"photograph {path} cannot be read ({reason}): replace or remove it"
        ) from error
    if min(grey.shape) < SMALLEST:
        raise BadInput(
            f"photograph {path} has {grey.shape[1]} x {grey.shape[0]} pixels: a patch needs at "
            f"least {SMALLEST} per side; remove it"
        )
    return grey
