"""`fairfm evaluate`: the files of one model to an evaluation and its findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.evaluation.findings import ModelFindings, findings_of
from analysis.results.study_record import STUDIES
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.node_copy import local_files
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.reading.columns import SPLIT_OF_WORD
from fairfm_core.evaluation.reading.files import FORMATS, SAID
from fairfm_core.evaluation.reading.form import PredictionForm
from fairfm_core.evaluation.reading.model import ReadModel, read_model
from fairfm_core.storage.file_store import is_remote
from fairfm_core.storage.inspection import DONE, inspected, once_per_machine

UNNAMED = "predictions"
"""A folder of this name does not name its model; its parent folder does."""


@dataclass(frozen=True)
class EvaluatedModel:
    """One model's findings, and what reading its files has changed or taken for granted."""

    findings: ModelFindings
    notes: tuple[str, ...]
    source: str
    """The files, as their user calls them."""


def evaluate_files(
    paths: Sequence[Path],
    settings: EvaluationSettings,
    form: PredictionForm,
    attributes: Sequence[str] = (),
) -> EvaluatedModel:
    """Evaluate one model's prediction files, or folders of them.

    Args:
        paths: files and folders.
        settings: how to evaluate; its attributes are replaced.
        form: what the files' columns and numbers mean.
        attributes: those to evaluate; without any, sex and race where the predictions have them.

    Raises:
        BadInput: files that are not predictions, or not of one model.
    """
    files = [file for path in paths for file in prediction_files(path)]
    read = read_model(files, form, attributes, settings)
    settings = settings.model_copy(update={"attributes": read.attributes})
    source = ", ".join(str(path) for path in paths)
    try:
        evaluation = evaluate(read.predictions, settings)
    except BadInput as error:  # what a protocol needs of the predictions
        raise BadInput(f"{source}: {error}") from error
    findings = findings_of(evaluation, settings, read.predictions)
    return EvaluatedModel(findings, read.notes, source)


def seed_models(
    path: Path, form: PredictionForm, attributes: Sequence[str], settings: EvaluationSettings
) -> list[ReadModel]:
    """The models at a path: one, or one for each seed's folder; arguments as in `read_model`.

    Raises BadInput for a path that does not exist, and for files that are not predictions.
    """
    if not path.exists():
        raise BadInput(f"no predictions at {path}; give a file, a folder, or a folder of seeds")
    folders = sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []
    models = [path] if not folders or files_in(path) else folders
    return [read_model(prediction_files(each), form, attributes, settings) for each in models]


def check_out(out: Path, paths: Sequence[Path]) -> None:
    """Raise BadInput if tables would be written among the predictions and read as such later."""
    for path in paths:
        if path.is_dir() and out.resolve() == path.resolve():
            raise BadInput(f"--out {out} is the folder of the predictions; give another folder")


def prediction_files(path: Path) -> list[Path]:
    """The file itself, or the files of a folder in the first format of which it has any.

    A folder of an adapt stage stands for the predictions in it. Raises BadInput for a folder
    without any, Damaged in the folder of a finished stage that is not as it was stored.
    """
    inner = path / "predictions"
    path = inner if inner.is_dir() else path
    _check_stage(path)
    if not path.is_dir():
        return [path]
    if files := files_in(path):
        return files
    if (path / STUDIES).is_dir():
        raise BadInput(
            f"{path} is a results folder: give two of its configurations with --compare, or the"
            f" predictions of one trial, which `fairfm results where {path} TRIAL` finds"
        )
    raise BadInput(f"folder {path} holds no predictions; give a file or a folder of files ({SAID})")


def files_in(folder: Path) -> list[Path]:
    """The files of the first format of which a folder has any; none without.

    Raises BadInput for a split that has a file of another format only: it would be left out.
    """
    found = [sorted(folder.glob(f"*.{extension}")) for extension in FORMATS]
    files: list[Path] = next(filter(None, found), [])
    read = {_stem(file) for file in files}
    for file in (file for other in found for file in other):
        if (name := _stem(file)) in SPLIT_OF_WORD and name not in read:
            raise BadInput(
                f"folder {folder} holds {files[0].name} and {file.name}, and only files of one"
                " format are read together; give the files themselves, or write all in one format"
            )
    return files


def _stem(file: Path) -> str:
    return file.name.partition(".")[0].lower()


def _check_stage(path: Path) -> None:
    """Raise Damaged if the path is, or lies in, the folder of a finished stage that is damaged."""
    real = path.resolve()
    for folder in (real, *real.parents[:2]):
        if (folder / DONE).is_file():
            kind, fingerprint = folder.parent.name, folder.name
            damage = inspected(folder, f"{kind}/{fingerprint}", once_per_machine).damage
            if damage is not None:
                raise Damaged(kind, fingerprint, damage)


def named_path(text: str) -> tuple[str, Path]:
    """Name and path of `path` or `name=path`; an existing path may have an equals sign in it.

    The default name is that of the file without its extension, or of the folder. Raises BadInput
    for a path that does not exist.
    """
    name, sign, rest = text.partition("=")
    path = local_files(text) if not sign or is_remote(name) else Path(text)
    if sign and name and not is_remote(name) and not path.exists():
        path = local_files(rest)
    else:
        name = _default_name(path)
    if not path.exists():
        raise BadInput(
            f"there is no file or folder {str(path)!r}; give predictions as PATH or NAME=PATH"
        )
    return name, path


def _default_name(path: Path) -> str:
    whole = path.resolve()
    if not whole.is_dir():
        return whole.stem
    return whole.parent.name if whole.name == UNNAMED else whole.name
