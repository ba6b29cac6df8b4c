"""The data sets that `fairfm data prepare` reads: adding one is a file and a record here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fairfm_core.data.cohort_checks import check_leakage
from fairfm_core.data.readers.chestxray14 import read_chestxray14
from fairfm_core.data.readers.chexpert import read_chexpert
from fairfm_core.data.readers.mimic_cxr import read_mimic_cxr
from fairfm_core.data.readers.source import ReadOptions, Source
from fairfm_core.data.readers.table import read_described_table
from fairfm_core.data.synthetic.phantom import read_phantom
from fairfm_core.data.synthetic.photographs import read_photographs
from fairfm_core.errors import BadInput, did_you_mean

COMMON_OPTIONS = frozenset({"size", "split_seed", "fractions"})
FILES = frozenset({"split_list", "allow_missing"})
RACE = frozenset({"demographics", "no_demographics", "population"})


@dataclass(frozen=True)
class Reader:
    """How one kind of data set is read, and which options it takes beyond the common ones."""

    read: Callable[[str, ReadOptions], Source]
    options: frozenset[str]


READERS = {
    "phantom": Reader(read_phantom, frozenset({"effect", "patients", "seed"})),
    "chestxray14": Reader(read_chestxray14, FILES | {"random_split"}),
    "chexpert": Reader(read_chexpert, FILES | RACE),
    "mimic-cxr": Reader(read_mimic_cxr, FILES | RACE | {"random_split", "labeller"}),
    "table": Reader(read_described_table, frozenset({"allow_missing"})),
    "photographs": Reader(read_photographs, frozenset({"patches", "seed"})),
}


def read_source(kind: str, source: str, options: ReadOptions) -> Source:
    """The data set `source` of a known kind; no patient of it is in two splits.

    Raises:
        BadInput: an unknown kind, an option that is not for that kind, or as the reader does.
    """
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
    if options.random_split and options.split_list is not None:
        raise BadInput("--random-split and --split-list exclude each other")
    found = reader.read(source, options)
    if "split" in found.frame.columns:
        check_leakage(found.frame)
    return found
