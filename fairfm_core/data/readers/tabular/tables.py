"""Published csv tables as text, whatever their header spelling, padding, delimiter and encoding.

Readers take every cell as text and decide themselves what it means.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fairfm_core.errors import BadInput, first_ten

KNOWN_BY_COLUMN = {
    "Finding Labels": "ChestX-ray14's table (kind chestxray14)",
    "Finding_Labels": "ChestX-ray14's table (kind chestxray14)",
    "AP/PA": "CheXpert's table (kind chexpert)",
    "FrontalLateral": "CheXpert's table (kind chexpert)",
    "PRIMARY_RACE": "CheXpert's demographics",
    "path_to_image": "a table of CheXpert Plus (kind chexpert-plus)",
    "PatientBirth": "PadChest's table (kind padchest)",
    "PngPath": "BRAX's table (kind brax)",
    "rad_id": "labels of VinDr-CXR (kind vindr-cxr)",
    "dicom_id": "a table of MIMIC-CXR (kind mimic-cxr)",
    "study_id": "a table of MIMIC-CXR (kind mimic-cxr)",
    "anchor_age": "MIMIC-IV's patients",
    "admittime": "MIMIC-IV's admissions",
}
"""A column that only one published table has -> what that table is, for error messages."""
DELIMITERS = (",", ";", "\t", "|")
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
"""Bytes at the start of a file -> its encoding."""
GZIP = b"\x1f\x8b"
"""Bytes at the start of a packed file."""
AGAIN = "export or download it again"
CSV_FAULTS = {
    "new-line character": "its bytes are not lines of text",
    "NUL": "it holds bytes that no text has",
    "field limit": "a field is longer than 131,072 characters: a quotation mark may lack its pair",
}
"""What Python says of a csv file -> what it means."""


@dataclass(frozen=True)
class CsvForm:
    """How a csv file is written.

    Attributes:
        delimiter: between fields; by default the one that the header has.
        encoding: by default UTF-8, or UTF-16 where the file starts with its mark.
        comment: lines that start with it are left out.
    """

    delimiter: str | None = None
    encoding: str | None = None
    comment: str | None = None


PLAIN = CsvForm()


def read_text_table(path: Path, form: CsvForm = PLAIN) -> tuple[pd.DataFrame, dict[str, int]]:
    """Every named column of a csv file (.csv or .csv.gz) as text, and notes; blank is null.

    A trailing delimiter in the header, in the rows or in both is ignored. Bytes that are not UTF-8
    are replaced and counted in the notes.

    Raises:
        BadInput: no such file, not a csv file, no header, no rows, a row of another width, or an
            encoding that is unknown or wrong.
    """
    content = _as_utf8(_content(path), form, path)
    delimiter = form.delimiter or _delimiter(content)
    header = _header(content, delimiter, path)
    _check_whole(content, header, delimiter, path)
    try:
        rows = pd.read_csv(
            io.BytesIO(content),
            sep=delimiter,
            header=None,
            skiprows=1,
            dtype="str",
            encoding_errors="replace",
            skipinitialspace=True,
            # Words such as None and NA are values; only a blank is null.
            keep_default_na=False,
            na_values=[""],
        )
    except pd.errors.EmptyDataError:
        raise BadInput(f"{path} holds no rows: expected a csv file with a header") from None
    except pd.errors.ParserError as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} is not a readable csv file ({reason}); {AGAIN}") from error
    named = {name: i for i, name in enumerate(header) if name and i < rows.shape[1]}
    table = pd.DataFrame({name: rows[i].str.strip() for name, i in named.items()})
    return table.mask(table == ""), _replaced(content, path)


def column_names(path: Path, form: CsvForm = PLAIN) -> list[str]:
    """The names in the header of a csv file, in its order; raises BadInput as `read_text_table`."""
    content = _as_utf8(_content(path), form, path)
    return _header(content, form.delimiter or _delimiter(content), path)


def _as_utf8(content: bytes, form: CsvForm, path: Path) -> bytes:
    """The bytes in UTF-8, without lines of comment."""
    encoding = form.encoding or next((e for m, e in MARKS.items() if content.startswith(m)), None)
    if encoding not in (None, "utf-8-sig"):
        try:
            content = content.decode(encoding).encode()
        except LookupError:
            raise BadInput(
                f"{path}: encoding {encoding!r} is not known; common ones are utf-8, utf-16, "
                f"latin-1 and cp1252"
            ) from None
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{path} is not written in {encoding} (byte {error.start:,}); give another encoding"
            ) from None
    content = _lines_ended(content)
    if form.comment:
        mark = form.comment.encode()
        lines = content.splitlines(keepends=True)
        content = b"".join(line for line in lines if not line.lstrip().startswith(mark))
    return content


def _delimiter(content: bytes) -> str:
    """The comma if the header has one; otherwise the character that it has most often."""
    header = content.partition(b"\n")[0].decode("utf-8", errors="replace")
    return "," if "," in header else max(DELIMITERS, key=header.count)


def find_table(folders: Sequence[Path], stem: str, where: str) -> Path:
    """`stem`.csv or `stem`.csv.gz in the first of `folders` that has it.

    Raises:
        BadInput: none of them has it; `where` says what to do.
    """
    paths = [folder / f"{stem}{end}" for folder in folders for end in (".csv", ".csv.gz")]
    for path in paths:
        if path.is_file():
            return path
    places = " or ".join(str(folder) for folder in folders)
    raise BadInput(f"no {stem}.csv or {stem}.csv.gz in {places}; {where}")


def only_table(source: Path, pattern: str, where: str) -> Path:
    """The table itself, or the only file of a folder whose name fits a pattern.

    Raises:
        BadInput: none fits, with `where` the data set is to be had, or several do.
    """
    if source.is_file():
        return source
    tables = sorted(source.glob(pattern))
    if not tables:
        raise BadInput(f"no {pattern} in {source}; {where}")
    if len(tables) > 1:
        names = first_ten(table.name for table in tables)
        raise BadInput(f"{source} holds several tables ({names}): give the path of one of them")
    return tables[0]


def choose_columns(
    table: pd.DataFrame, wanted: Mapping[str, Sequence[str]], what: str
) -> pd.DataFrame:
    """The columns of `table` under our names, whichever of its published spellings each has.

    Args:
        table: a table of text.
        wanted: our name -> its published spellings.
        what: the table's name and file, for error messages.

    Raises:
        BadInput: a column that is in the table under none of its spellings.
    """
    spelling_of = {
        name: next((spelling for spelling in spellings if spelling in table.columns), None)
        for name, spellings in wanted.items()
    }
    missing = [wanted[name][0] for name, spelling in spelling_of.items() if spelling is None]
    if missing:
        kind = next((KNOWN_BY_COLUMN[c] for c in table.columns if c in KNOWN_BY_COLUMN), None)
        raise BadInput(
            f"{what} lacks the column(s) {', '.join(missing)}; it has "
            f"{first_ten(table.columns) or 'none'}: "
            + (f"it looks like {kind}" if kind else "is it the right file?")
        )
    return pd.DataFrame({name: table[spelling] for name, spelling in spelling_of.items()})


def check_not_blank(column: pd.Series, name: str, path: Path) -> None:
    """Raises BadInput, with line numbers of the file, where a required column is blank."""
    if column.isna().any():
        lines = column.index[column.isna()] + 2
        raise BadInput(f"{path}: {name} is blank in line(s) {first_ten(lines)}")


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(path: Path) -> bytes:
    """The file's bytes, unpacked."""
    try:
        content = path.read_bytes()
        packed = path.suffix == ".gz" or content.startswith(GZIP)
        return gzip.decompress(content) if packed else content
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} is not a readable csv file ({reason}); {AGAIN}") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error


def _lines_ended(content: bytes) -> bytes:
    """The bytes with \\n at the ends of lines where an old Mac has written \\r alone."""
    old = b"\r" in content and b"\n" not in content
    return content.replace(b"\r", b"\n") if old else content


def _unreadable(path: Path, error: csv.Error) -> BadInput:
    """What Python's reader of csv files says, in our words."""
    reason = next((ours for theirs, ours in CSV_FAULTS.items() if theirs in str(error)), str(error))
    return BadInput(f"{path} is not a readable csv file ({reason}); {AGAIN}")


def _header(content: bytes, delimiter: str, path: Path) -> list[str]:
    if content[:4] in (b"PK\x03\x04", b"PAR1"):
        kind = "a parquet file" if content[:4] == b"PAR1" else "an Excel or zip file"
        raise BadInput(f"{path} is {kind}, not a csv file")
    lines = io.StringIO(content.partition(b"\n")[0].decode("utf-8-sig", errors="replace"))
    try:
        header = [name.strip() for name in next(csv.reader(lines, delimiter=delimiter), [])]
    except csv.Error as error:
        raise _unreadable(path, error) from error
    if not header:
        raise BadInput(f"{path} has no header: its first line is blank; {AGAIN}")
    return header


def _check_whole(content: bytes, header: list[str], delimiter: str, path: Path) -> None:
    """Raises BadInput unless every row has one field per name; one trailing comma is allowed."""
    names = len(header) - (header[-1] == "")
    lines = io.StringIO(content.decode("utf-8-sig", errors="replace"), newline="")
    rows = csv.reader(lines, delimiter=delimiter)
    next(rows)
    try:
        odd = [
            (rows.line_num, len(row))
            for row in rows
            if row and len(row) != names and not (len(row) == names + 1 and not row[-1].strip())
        ]
    except csv.Error as error:
        raise _unreadable(path, error) from error
    if odd:
        listed = first_ten(f"line {line} has {fields}" for line, fields in odd)
        raise BadInput(f"{path} is damaged: the header has {names} fields, {listed}; {AGAIN}")


def _replaced(content: bytes, path: Path) -> dict[str, int]:
    """A note of how many bytes were not UTF-8; empty if none."""
    if content.isascii():
        return {}
    marks = content.decode("utf-8", errors="replace").count("\ufffd")
    return {f"bytes not UTF-8 in {path.name}, replaced": marks} if marks else {}
