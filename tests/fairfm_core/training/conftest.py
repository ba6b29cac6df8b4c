"""A small phantom that every training test adapts to."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.preparation.prepare import prepare


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """150 patients at 32 pixels, prepared once."""
    folder: Path = tmp_path_factory.mktemp("phantom") / "data"
    return prepare("phantom", "unfair", folder, 32, patients=150)
