"""The data sets that `fairfm data prepare` reads: adding one is a file and a record here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fairfm_core.data.chestxray14 import read_chestxray14
from fairfm_core.data.phantom import read_phantom
from fairfm_core.data.source import ReadOptions, Source
from fairfm_core.errors import BadInput, did_you_mean

COMMON_OPTIONS = frozenset({"size", "split_seed", "fractions"})


@dataclass(frozen=True)
class Reader:
    """How one kind of data set is read, and which options it takes beyond the common ones."""

    read: Callable[[str, ReadOptions], Source]
    options: frozenset[str]


READERS = {
    "phantom": Reader(read_phantom, frozenset({"effect", "patients", "seed"})),
    "chestxray14": Reader(read_chestxray14, frozenset({"split_list", "allow_missing"})),
}


def read_source(kind: str, source: str, options: ReadOptions) -> Source:
    """The data set `source` of a known kind; BadInput where an option is not for that kind."""
    if kind not in READERS:
        raise BadInput(
            f"data set kind {kind!r} is not known{did_you_mean(kind, READERS)}; "
            f"known: {', '.join(READERS)}"
        )
    reader = READERS[kind]
    foreign = options.content().keys() - COMMON_OPTIONS - reader.options
    for name in sorted(foreign):
        allowed = ", ".join(sorted(COMMON_OPTIONS | reader.options))
        raise BadInput(f"{kind} takes no option {name}; it takes {allowed}")
    return reader.read(source, options)
