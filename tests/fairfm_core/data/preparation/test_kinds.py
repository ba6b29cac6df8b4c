"""A kind of data set is one record: its reader exists, its options do, and the help lists it."""

from __future__ import annotations

import pandas as pd
import pytest
from click.testing import CliRunner

from fairfm_core.commands.data import data
from fairfm_core.config.named_records import imported
from fairfm_core.data.preparation.kinds import COMMON_OPTIONS, KINDS, Kind, read_kind
from fairfm_core.data.readers.source import ReadOptions, Source
from fairfm_core.errors import BadInput


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_names_a_reader_and_options_that_exist(kind: str) -> None:
    assert callable(imported(KINDS[kind].reader))
    assert KINDS[kind].options <= ReadOptions.model_fields.keys() - COMMON_OPTIONS


def test_every_option_is_taken_by_some_kind() -> None:
    taken = COMMON_OPTIONS.union(*(kind.options for kind in KINDS.values()))
    assert taken == ReadOptions.model_fields.keys()


def read_toy(source: str, options: ReadOptions) -> Source:
    """A reader that puts one patient into two splits where the source says so."""
    splits = {"leaking": ["train", "test"], "good": ["train", "train"]}[source]
    columns = {"image_id": ["1", "2"], "patient_id": ["a", "a"], "split": splits}
    return Source(pd.DataFrame(columns), notes={})


def test_a_new_kind_is_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Kind(f"{__name__}:read_toy", "folder of toys", frozenset({"seed"}))
    monkeypatch.setitem(KINDS, "toy", record)
    assert len(read_kind("toy", "good", ReadOptions(seed=1)).frame) == 2
    with pytest.raises(BadInput, match=r"more than one split: a \(1 in train, 2 in test\)"):
        read_kind("toy", "leaking", ReadOptions())
    with pytest.raises(BadInput, match=r"toy has no option --patients; it has --fractions, --seed"):
        read_kind("toy", "good", ReadOptions(patients=3))
    shown = CliRunner().invoke(data, ["prepare", "--help"]).output
    assert "folder of toys; --seed" in shown
    assert all(f"  {kind}" in shown for kind in KINDS)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("Age"), "there is no 'Age'"),
        (ValueError("could not convert string to float: '060Y'"), "could not convert .*'060Y'"),
    ],
)
def test_values_that_a_reader_does_not_understand_are_bad_input(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def read_broken(source: str, options: ReadOptions) -> Source:
        raise error

    monkeypatch.setattr(f"{__name__}.read_toy", read_broken)
    monkeypatch.setitem(KINDS, "toy", Kind(f"{__name__}:read_toy", "folder of toys", frozenset()))
    message = f"toy cannot be read from toys.csv: {reason}; SOURCE is: folder of toys"
    with pytest.raises(BadInput, match=message) as caught:
        read_kind("toy", "toys.csv", ReadOptions())
    assert caught.value.__cause__ is error


def test_a_reader_s_own_refusal_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, options: ReadOptions) -> Source:
        raise BadInput("sex holds X")

    monkeypatch.setattr(f"{__name__}.read_toy", refuse)
    monkeypatch.setitem(KINDS, "toy", Kind(f"{__name__}:read_toy", "folder of toys", frozenset()))
    with pytest.raises(BadInput, match=r"^sex holds X$"):
        read_kind("toy", "toys", ReadOptions())
