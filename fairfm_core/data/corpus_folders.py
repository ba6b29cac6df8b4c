"""The folders of a corpus under the names of their sources."""

from __future__ import annotations

from collections.abc import Sequence

from fairfm_core.data.corpora import source_of
from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.errors import BadInput


def open_corpora(folders: Sequence[str]) -> dict[str, PreparedData]:
    """Prepared data sets by the name of their source; raises BadInput where two have the same."""
    found: dict[str, PreparedData] = {}
    for folder in folders:
        data = open_dataset(folder)
        name = source_of(data)
        if name in found:
            raise BadInput(
                f"{found[name].folder} and {folder} are of one source ({name}): name one of them"
            )
        found[name] = data
    return found
