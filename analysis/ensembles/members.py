"""The members of an ensemble as a user names them: files or folders of predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analysis.evaluation.evaluate import named_path, prediction_files
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.ensembles.pool import Pool, paired_members
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.reading.form import PredictionForm
from fairfm_core.evaluation.reading.model import ReadModel, read_model

Files = Mapping[str, Sequence[Path]]
"""Prediction files of each member by its name."""


def member_files(given: Sequence[str]) -> dict[str, list[Path]]:
    """Files of each member from `path` or `name=path`, a file or a folder of files.

    The default name is that of the file without its extension, or of the folder. Raises BadInput
    for a path that does not exist, a folder without a file, and a name that is given twice.
    """
    members: dict[str, list[Path]] = {}
    for text in given:
        name, path = named_path(text)
        if name in members:
            raise BadInput(
                f"{members[name][0]} and {path} are both called {name!r}; name them, as in"
                f" other={path} (the splits of one model go into one folder)"
            )
        members[name] = prediction_files(path)
    return members


@dataclass(frozen=True)
class Members:
    """The members' files, how they are laid out, and the attributes to evaluate."""

    files: Files
    form: PredictionForm = field(default_factory=PredictionForm)
    attributes: tuple[str, ...] = ()
    """Empty for sex and race where the predictions have them."""

    def read(self, name: str) -> ReadModel:
        """The predictions of one member, its splits in one table."""
        return read_model(list(self.files[name]), self.form, self.attributes)

    def evaluated_by(self, settings: EvaluationSettings) -> EvaluationSettings:
        """The settings with the attributes of the first member."""
        attributes = self.attributes or self.read(min(self.files)).attributes
        return settings.model_copy(update={"attributes": attributes})


def read_pool(members: Members) -> tuple[Pool, tuple[str, ...]]:
    """The members in alphabetical order, and notes on reading them.

    Memory holds all scores, but only one table at a time.
    """
    names = sorted(members.files)
    notes: dict[str, None] = {}

    def predictions(name: str) -> Predictions:
        read = members.read(name)
        notes.update(dict.fromkeys(f"note: {name}: {note}" for note in read.notes))
        return read.predictions

    return paired_members(names, map(predictions, names)), tuple(notes)


def check_not_read(files: Files, written: Iterable[Path]) -> None:
    """Raise BadInput if a member is read from a file or folder that is about to be written."""
    targets = {path.resolve() for path in written}
    for name, paths in files.items():
        for path in paths:
            if targets & {path.resolve(), path.resolve().parent}:
                raise BadInput(
                    f"{path} of member {name!r} would be overwritten; give another --out"
                )
