"""The files of a program whose layout is known, as one table for each split under our names.

Scores, labels and patients may lie in three files; they are joined by a column that names images,
or by the number of the row. Where the table of patients has labels of its own they must agree with
those of the predictions: rows that were joined wrongly, and pathologies in another order, would
give numbers that nothing else betrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairfm_core.errors import BadInput, first_ten
from fairfm_core.evaluation.predictions import KEYS
from fairfm_core.evaluation.reading.columns import ids, quoted
from fairfm_core.evaluation.reading.layout import PredictionLayout, columns_of


@dataclass(frozen=True)
class ProgramFiles:
    """The files that a program has written, and what its layout says of them."""

    layout: PredictionLayout
    paths: Sequence[Path]
    """Its files, among others that it writes."""
    people: Path | None
    """The table that says who is on each image, or a folder with one for each split."""
    read: Callable[[Path], pd.DataFrame]
    """A file as a table."""

    def tables(self) -> list[tuple[Path, pd.DataFrame]]:
        """One table for each split that has a file, with the file of its scores.

        Raises BadInput for a file or column that is missing, images that are in one file only, and
        labels that contradict those of the table of patients.
        """
        found = {s: self._first(names) for s, names in self.layout.predictions.items()}
        files = {split: file for split, file in found.items() if file is not None}
        if not files:
            expected = [name for names in self.layout.predictions.values() for name in names]
            raise BadInput(
                f"{self.layout.program} writes {' or '.join(expected)}, which is not among"
                f" {quoted(path.name for path in self.paths)}; name the files in a layout of your"
                " own"
            )
        if self.layout.people is not None and self.people is None:
            raise BadInput(
                f"predictions of {self.layout.program} do not say who is on an image: name the"
                " table that does with --people"
            )
        return [(file, self._table(split, file)) for split, file in files.items()]

    def _first(self, names: Sequence[str]) -> Path | None:
        by_name = {path.name: path for path in reversed(self.paths)}
        return next((by_name[name] for name in names if name in by_name), None)

    def _table(self, split: str, file: Path) -> pd.DataFrame:
        """Keys, attributes, labels and scores of one split."""
        scores = self.read(file)
        images = _images(scores, self.layout.key, file)
        truth = self._truth(split, file, images, scores)
        frame = pd.DataFrame(
            _pathologies("y_", self.layout.labels, truth, self.layout, file)
            | _pathologies("p_", self.layout.predicted, scores, self.layout, file)
        )
        people = self._people(split, file, images, frame)
        return _with_people(split, people if people is not None else scores, images, frame, self)

    def _truth(
        self, split: str, file: Path, images: pd.Series, scores: pd.DataFrame
    ) -> pd.DataFrame:
        """The table of the labels, in the order of the scores."""
        names = dict(self.layout.truth).get(split, ())  # type: ignore[call-overload]
        if not names:
            return scores
        place = self._first(names)
        if place is None:
            raise BadInput(f"{file} holds scores alone; give its labels, {' or '.join(names)}, too")
        return _in_order(self.read(place), self.layout.key, images, file, place)

    def _people(
        self, split: str, file: Path, images: pd.Series, frame: pd.DataFrame
    ) -> pd.DataFrame | None:
        """The rows of the table of patients in the order of the scores; None without one."""
        if self.layout.people is None or self.people is None:
            return None
        place = self._people_file(self.people, split)
        table = self.read(place)
        by_row = self.layout.key is None and self.layout.people.key is None
        if by_row and len(table) != len(images):
            raise BadInput(
                f"{file} has {len(images):,} rows and {place} has {len(table):,}: they are joined"
                " row by row, so one of them is of other images"
            )
        rows = _in_order(table, self.layout.people.key, images, file, place)
        if self.layout.people.labels is not None:
            columns = columns_of(self.layout.people.labels, self.layout.pathologies)
            by_name = dict(zip(self.layout.pathologies, columns, strict=True))
            _check_labels(frame, rows, by_name, (file, place))
        return rows

    def _people_file(self, people: Path, split: str) -> Path:
        """The table of a split: the file itself, or the one of its name in a folder."""
        if not people.is_dir():
            return people
        assert self.layout.people is not None
        names = dict(self.layout.people.files).get(split, ())  # type: ignore[call-overload]
        found = next((people / name for name in names if (people / name).is_file()), None)
        if found is None:
            wanted = f" ({' or '.join(names)})" if names else ""
            raise BadInput(
                f"--people {people} holds no table of split {split}{wanted}; name the file itself"
            )
        return found


def _images(table: pd.DataFrame, key: str | None, file: Path) -> pd.Series:
    """What names the image of each row: a column, or the number of the row."""
    if key is None:
        return pd.Series(np.arange(len(table))).astype("str")
    images = ids(_column(table, key, file)).reset_index(drop=True)
    if images.isna().any():
        raise BadInput(
            f"{file}: {key!r}, which names the image, is blank in {int(images.isna().sum()):,} of"
            f" {len(images):,} rows"
        )
    return images


def _column(table: pd.DataFrame, name: str, file: Path) -> pd.Series:
    if name not in table:
        raise BadInput(
            f"{file} has no column {name!r}, which the layout names; it has {quoted(table)}"
        )
    return table[name]


def _pathologies(
    prefix: str, pattern: str, table: pd.DataFrame, layout: PredictionLayout, file: Path
) -> dict[str, npt.NDArray[np.generic]]:
    """The labels or scores under our names."""
    columns = columns_of(pattern, layout.pathologies)
    if missing := [name for name in columns if name not in table]:
        raise BadInput(
            f"{file} lacks {quoted(missing)} of the layout's {len(columns)} columns; it has"
            f" {quoted(table)}: name the pathologies and columns in a layout of your own"
        )
    named = zip(layout.pathologies, columns, strict=True)
    return {f"{prefix}{name}": table[column].to_numpy() for name, column in named}


def _in_order(
    table: pd.DataFrame, key: str | None, images: pd.Series, file: Path, place: Path
) -> pd.DataFrame:
    """The rows of a table in the order of the images; raises BadInput for one that it lacks."""
    known = _images(table, key, place)
    if known.duplicated().any():
        twice = known[known.duplicated()].unique()
        raise BadInput(f"{place} has an image more than once: {first_ten(map(repr, twice))}")
    row_N = pd.Index(known).get_indexer(pd.Index(images))
    if (missing_N := row_N < 0).any():
        raise BadInput(
            f"{int(missing_N.sum()):,} of {len(images):,} images of {file} are not in {place}, such"
            f" as {images[missing_N].iloc[0]!r}; an image there is called {known.iloc[0]!r}"
        )
    return table.iloc[row_N].reset_index(drop=True)


def _check_labels(
    frame: pd.DataFrame, rows: pd.DataFrame, columns: dict[str, str], files: tuple[Path, Path]
) -> None:
    """Raise BadInput where labels differ from those of the table of patients."""
    known = {name: _present(rows[column]) for name, column in columns.items() if column in rows}
    for name, expected_N in known.items():
        found_N = _present(frame[f"y_{name}"])
        if (wrong := int((found_N != expected_N).sum())) == 0:
            continue
        other = next((n for n, each_N in known.items() if (found_N == each_N).all()), None)
        if other is not None:
            raise BadInput(
                f"{files[0]}: its labels of {name!r} are those of {other!r} in {files[1]}: the"
                " pathologies are in another order; write theirs in a layout of your own"
            )
        raise BadInput(
            f"{files[0]} and {files[1]} differ in {name!r} in {wrong:,} of {len(frame):,} rows: the"
            " rows are of other images, or the pathologies in another order"
        )


def _present(column: pd.Series) -> npt.NDArray[np.bool_]:
    """Where a label is 1; blank, 0 and uncertain are not."""
    present: npt.NDArray[np.bool_] = (pd.to_numeric(column, errors="coerce") == 1).to_numpy()
    return present


def _with_people(
    split: str, rows: pd.DataFrame, images: pd.Series, frame: pd.DataFrame, files: ProgramFiles
) -> pd.DataFrame:
    """The labels and scores with ids, split, attributes and whatever else is known of an image."""
    layout, place = files.layout, files.people or files.paths[0]
    named = {ours: _column(rows, theirs, place) for ours, theirs in layout.columns.items()}
    keys = pd.DataFrame({"image_id": images} | {n: c.to_numpy() for n, c in named.items()})
    keys["split"] = split
    for name, words in layout.values.items():
        if name in keys:
            keys[name] = keys[name].replace(words)
    if "patient_id" not in keys and layout.patient_pattern is not None:
        keys["patient_id"] = _patients(keys["image_id"], layout.patient_pattern, place)
    taken = {*KEYS, *keys, *frame, *layout.columns.values(), *layout.pathologies}
    further = rows[[name for name in rows if name not in taken]].reset_index(drop=True)
    return pd.concat([keys, further, frame], axis=1)


def _patients(images: pd.Series, pattern: str, file: Path) -> pd.Series:
    """The part of each image's name that is the patient."""
    patients: pd.Series = images.astype("str").str.extract(f"({pattern})")[0]
    if patients.isna().any():
        raise BadInput(
            f"{file}: image {images[patients.isna()].iloc[0]!r} names no patient (no part fits"
            f" {pattern!r}); name a column patient_id in a layout of your own"
        )
    return patients
