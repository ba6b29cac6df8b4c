"""Reads published csv tables as text, whatever their header spelling, padding and encoding."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import pandas as pd

from fairfm_core.errors import BadInput, first_ten


def read_text_table(path: Path) -> pd.DataFrame:
    """Every named column of a csv file (.csv or .csv.gz) as text; blank is null.

    A trailing comma, in the header, in the rows or in both, is dropped. Bytes that are not UTF-8
    are replaced.
    """
    try:
        with _opened(path) as lines:
            header = [name.strip() for name in next(csv.reader(lines), [])]
        rows = pd.read_csv(
            path,
            header=None,
            skiprows=1,
            dtype="str",
            encoding_errors="replace",
            skipinitialspace=True,
        )
    except pd.errors.EmptyDataError:
        raise BadInput(f"{path} holds no rows: expected a csv file with a header") from None
    except (pd.errors.ParserError, csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} is not a readable csv file ({reason}); fetch it again") from error
    named = {name: i for i, name in enumerate(header) if name and i < rows.shape[1]}
    return pd.DataFrame({name: rows[i].str.strip() for name, i in named.items()})


def choose_columns(
    table: pd.DataFrame, wanted: Mapping[str, Sequence[str]], what: str
) -> pd.DataFrame:
    """The columns of `table` under our names, each found under one of its published spellings.

    Args:
        table: a table of text.
        wanted: our name -> the spellings it has been published with.
        what: the table's name and file, for the error.
    """
    found = {
        name: next((spelling for spelling in spellings if spelling in table.columns), None)
        for name, spellings in wanted.items()
    }
    missing = [wanted[name][0] for name, spelling in found.items() if spelling is None]
    if missing:
        raise BadInput(
            f"{what} lacks the column(s) {', '.join(missing)}; it has "
            f"{first_ten(table.columns) or 'none'}: is it the right file?"
        )
    return pd.DataFrame({name: table[spelling] for name, spelling in found.items()})


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="")
    return open(path, encoding="utf-8-sig", errors="replace", newline="")
