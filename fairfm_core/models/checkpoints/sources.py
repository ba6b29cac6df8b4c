"""Where the weights of a trial are and what identifies them; looked up at planning, without torch.

`located` completes what a study says about its weights: the file, its format and its SHA-256. For a
published checkpoint that is the SHA-256 of the files that the format's reader would read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from fairfm_core.config.backbone import PublishedWeights
from fairfm_core.config.zoo import ZOO, FoundationModel, check_format
from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.tensor_bundle import open_bundle
from fairfm_core.models.weights.file_kinds import refuse_other_files
from fairfm_core.models.weights.provenance import files_sha256, is_converted, read_about
from fairfm_core.models.weights.stated import HUB_FILES
from fairfm_core.storage.file_store import is_remote


def located(weights: PublishedWeights) -> PublishedWeights:
    """The weights with their absolute path, format, network and SHA-256.

    A converted file and the published file that it was made from are the same weights.

    Raises BadInput for a file that does not exist, has an unknown format, holds a model other than
    the one in the study, or has another SHA-256.
    """
    if weights.file and is_remote(weights.file):
        raise BadInput(
            f"weights {weights.model}: {weights.file} is not on this machine; copy the file to a "
            "folder that every machine sees at the same path"
        )
    file = Path(weights.file).absolute() if weights.file else bundled_file(ZOO[weights.model])
    complete = _converted(weights, file) if is_converted(file) else _published(weights, file)
    if weights.sha256 not in (None, complete.sha256):
        raise BadInput(
            f"weights {weights.model}: {file} has SHA-256 {complete.sha256}, but the study says "
            f"{weights.sha256}"
        )
    return complete


def bundled_file(model: FoundationModel) -> Path:
    """The weights that come with an installed package, whose code is not run.

    Raises BadInput if the model has no such package or it is not installed.
    """
    package, _, inner = model.bundled.partition("/")
    spec = importlib.util.find_spec(package) if package else None
    places = (spec and spec.submodule_search_locations) or ()
    files = [file for place in places if (file := Path(place) / inner).is_file()]
    if not files:
        raise BadInput(f"{model.id} needs FILE; get it from: {model.source}")
    return files[0]


def _converted(weights: PublishedWeights, file: Path) -> PublishedWeights:
    about = read_about(file)
    if about.model != weights.model and {about.model, weights.model} & set(ZOO):
        raise BadInput(
            f"weights {weights.model}: {file} was converted as {about.model}; "
            f"write weights: {{model: {about.model}, file: {file}}}"
        )
    if weights.format not in (None, about.format):
        raise BadInput(f"{file} was converted from {about.format}, not {weights.format}")
    for name in ("key", "prefix"):
        given, recorded = getattr(weights, name), getattr(about, name)
        if given not in (None, recorded):
            raise BadInput(
                f"{file} was converted with {name}: {recorded}, not {given}; leave {name} out, or "
                "convert the published file again"
            )
    changes = {"sha256": about.source_sha256, "format": about.format, "network": about.backbone}
    changes |= {"key": about.key, "prefix": about.prefix}
    return weights.model_copy(update={"file": str(file), **changes})


def _published(weights: PublishedWeights, file: Path) -> PublishedWeights:
    form = weights.format or (ZOO[weights.model].format if weights.model in ZOO else None)
    # TensorFlow names a checkpoint by the common prefix of its files.
    if not any(file.parent.glob(f"{file.name}*")):
        raise BadInput(f"weights {weights.model}: no file {file}{_where(weights.model)}")
    refuse_other_files(file)
    if form is None:
        raise BadInput(
            f"weights {weights.model}: {file} is not a converted file: give its format, or "
            "convert it with fairfm model convert"
        )
    sha256 = source_sha256(file, check_format(form))
    return weights.model_copy(update={"file": str(file), "sha256": sha256, "format": form})


def _where(model: str) -> str:
    return f"; get it from {ZOO[model].source}" if model in ZOO else ""


# The files of a format


def huggingface_file(path: Path) -> Path:
    """The file of weights in a folder of the hub, or `path` itself if it is not a folder.

    Raises BadInput for a folder without one.
    """
    if not path.is_dir():
        return path
    files = [path / name for name in HUB_FILES if (path / name).is_file()]
    if not files:
        raise BadInput(f"{path} holds neither {' nor '.join(HUB_FILES)}")
    return files[0]


FILES_OF: dict[str, Callable[[Path], tuple[Path, ...]]] = {
    "huggingface": lambda path: (huggingface_file(path),),
    "remedis": lambda path: open_bundle(path).files(),
}
"""The files of each format that is not a single file."""


def source_sha256(path: Path, format: str) -> str:
    """The SHA-256 of the files that a format's reader reads at `path`; raises BadInput."""
    return files_sha256(FILES_OF.get(format, lambda file: (file,))(path))
