"""Excel files as text."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from pathlib import Path

import pandas as pd

from fairfm_core.errors import BadInput

DAMAGED = (
    ValueError,
    LookupError,
    TypeError,
    OSError,
    EOFError,
    SyntaxError,  # of XML
    zipfile.BadZipFile,
    zlib.error,
)
"""What openpyxl raises for a damaged workbook."""


def read_sheets(path: Path) -> dict[str, pd.DataFrame]:
    """The sheets of an Excel file by name, every cell as text without white space around it.

    Raises:
        BadInput: no such file, or not a readable Excel file.
    """
    if not path.is_file():
        raise BadInput(f"{path} does not exist")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and validations
            sheets = pd.read_excel(
                path,
                sheet_name=None,
                dtype="str",
                engine="openpyxl",
                keep_default_na=False,
                na_values=[""],
            )
    except DAMAGED as error:
        reason = " ".join(str(error).split())
        raise BadInput(
            f"{path} is not a readable Excel file ({reason}); export or download it again"
        ) from error
    return {str(name): _stripped(sheet) for name, sheet in sheets.items()}


def _stripped(sheet: pd.DataFrame) -> pd.DataFrame:
    named = sheet.rename(columns=lambda name: str(name).strip())
    return named.apply(lambda column: column.astype("str").str.strip())
