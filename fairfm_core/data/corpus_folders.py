"""The folders of a corpus under the names of their sources."""

from __future__ import annotations

from collections.abc import Sequence

from fairfm_core.data.corpus_patients import by_source
from fairfm_core.data.dataset import PreparedData, open_dataset


def open_corpora(folders: Sequence[str]) -> dict[str, PreparedData]:
    """Prepared data sets by the name of their source; raises BadInput where two have the same."""
    return by_source(open_dataset(folder) for folder in folders)
