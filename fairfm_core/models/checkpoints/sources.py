"""What the weights of a trial are: found out before anything starts, without torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from fairfm_core.config.backbone import PublishedWeights
from fairfm_core.config.zoo import ZOO, FoundationModel, check_format
from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.tensor_bundle import open_bundle
from fairfm_core.models.weights.provenance import files_sha256, is_converted, read_about

HUGGINGFACE_FILES = ("model.safetensors", "pytorch_model.bin")


def huggingface_file(path: Path) -> Path:
    """The weights in a folder of the hub, or the file itself; raises BadInput for neither."""
    if not path.is_dir():
        return path
    found = [path / name for name in HUGGINGFACE_FILES if (path / name).is_file()]
    if not found:
        raise BadInput(f"{path} holds neither {' nor '.join(HUGGINGFACE_FILES)}")
    return found[0]


FILES_OF: dict[str, Callable[[Path], tuple[Path, ...]]] = {
    "huggingface": lambda path: (huggingface_file(path),),
    "remedis": lambda path: open_bundle(path).files(),
}
"""Formats of more than one file, or of a folder."""


def source_sha256(path: Path, format: str) -> str:
    """The SHA-256 of what a format's reader reads at `path`; raises BadInput where it cannot."""
    return files_sha256(FILES_OF.get(format, lambda file: (file,))(path))


def located(weights: PublishedWeights) -> PublishedWeights:
    """The weights with an absolute file, its format, network and SHA-256.

    A converted file and the published one it was made of are the same weights.

    Raises BadInput for a file that is not there, of an unknown format, of another model than the
    study says, or with another SHA-256.
    """
    file = Path(weights.file).absolute() if weights.file else bundled_file(ZOO[weights.model])
    found = _converted(weights, file) if is_converted(file) else _published(weights, file)
    if weights.sha256 not in (None, found.sha256):
        raise BadInput(
            f"weights {weights.model}: {file} has SHA-256 {found.sha256}, the study says "
            f"{weights.sha256}"
        )
    return found


def bundled_file(model: FoundationModel) -> Path:
    """The weights that come with an installed package, whose code is not run.

    Raises BadInput where the model has no such package, or it is not installed.
    """
    package, _, inner = model.bundled.partition("/")
    spec = importlib.util.find_spec(package) if package else None
    places = (spec and spec.submodule_search_locations) or ()
    found = [file for place in places if (file := Path(place) / inner).is_file()]
    if not found:
        raise BadInput(f"{model.id} needs FILE; get it from: {model.source}")
    return found[0]


def _converted(weights: PublishedWeights, file: Path) -> PublishedWeights:
    about = read_about(file)
    if about.model != weights.model and {about.model, weights.model} & set(ZOO):
        raise BadInput(
            f"weights {weights.model}: {file} was converted as {about.model}; "
            f"say weights: {{model: {about.model}, file: {file}}}"
        )
    if weights.format not in (None, about.format):
        raise BadInput(f"{file} was converted from {about.format}, not {weights.format}")
    changes = {"sha256": about.source_sha256, "format": about.format, "network": about.backbone}
    return weights.model_copy(update={"file": str(file), **changes})


def _published(weights: PublishedWeights, file: Path) -> PublishedWeights:
    form = weights.format or (ZOO[weights.model].format if weights.model in ZOO else None)
    # TensorFlow names a checkpoint by what the names of its files begin with.
    if not any(file.parent.glob(f"{file.name}*")):
        raise BadInput(f"weights {weights.model}: no file {file}{_where(weights.model)}")
    if form is None:
        raise BadInput(
            f"weights {weights.model}: {file} is no converted file: say its format, or convert it "
            "with fairfm model convert"
        )
    sha256 = source_sha256(file, check_format(form))
    return weights.model_copy(update={"file": str(file), "sha256": sha256, "format": form})


def _where(model: str) -> str:
    return f"; get it from {ZOO[model].source}" if model in ZOO else ""
