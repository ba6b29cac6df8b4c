"""A kind of data set is one record: its reader exists, its options do, and the help lists it."""

from __future__ import annotations

import importlib

import pandas as pd
import pytest
from click.testing import CliRunner

from fairfm_core.commands.data import data
from fairfm_core.data.preparation.kinds import COMMON_OPTIONS, KINDS, Kind, read_kind
from fairfm_core.data.readers.source import ReadOptions, Source
from fairfm_core.errors import BadInput


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_names_a_reader_and_options_that_exist(kind: str) -> None:
    module, function = KINDS[kind].reader.split(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert KINDS[kind].options <= ReadOptions.model_fields.keys() - COMMON_OPTIONS


def test_every_option_is_taken_by_some_kind() -> None:
    taken = COMMON_OPTIONS.union(*(kind.options for kind in KINDS.values()))
    assert taken == ReadOptions.model_fields.keys()


def read_toy(source: str, options: ReadOptions) -> Source:
    """A reader that puts one patient into two splits where the source says so."""
    splits = {"leaking": ["train", "test"], "good": ["train", "train"]}[source]
    return Source(pd.DataFrame({"patient_id": ["a", "a"], "split": splits}), notes={})


def test_a_new_kind_is_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Kind(f"{__name__}:read_toy", "folder of toys", frozenset({"seed"}))
    monkeypatch.setitem(KINDS, "toy", record)
    assert len(read_kind("toy", "good", ReadOptions(seed=1)).frame) == 2
    with pytest.raises(BadInput, match="in more than one split"):
        read_kind("toy", "leaking", ReadOptions())
    with pytest.raises(BadInput, match="toy has no option patients; it has fractions, seed"):
        read_kind("toy", "good", ReadOptions(patients=3))
    shown = CliRunner().invoke(data, ["prepare", "--help"]).output
    assert "folder of toys; --seed" in shown
    assert all(f"  {kind}" in shown for kind in KINDS)
