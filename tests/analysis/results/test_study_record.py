"""The record of a study: sealed when it is written, and refused when it was changed since."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from analysis.results.study_record import read_study_record, write_study_record
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadFile

Record = Callable[..., dict[str, Any]]
AGAIN = "`fairfm sweep run` of the study writes it again"


@pytest.fixture
def store(tmp_path: Path, study_json: Record) -> ArtifactStore:
    """A results folder that holds a sealed record."""
    store = open_store(str(tmp_path))
    write_study_record(store, "tiny", study_json())
    return store


def path_of(store: ArtifactStore) -> Path:
    return Path(store.root, "studies/tiny/study.json")


def refused(store: ArtifactStore) -> str:
    with pytest.raises(BadFile) as caught:
        read_study_record(store, "tiny")
    message = str(caught.value)
    assert message.count(str(path_of(store))) == 1, "the path is named once"
    assert "\n" not in message
    return message


def test_a_sealed_record_is_read_as_it_was_written(
    store: ArtifactStore, study_json: Record
) -> None:
    record, content = read_study_record(store, "tiny")
    assert {key: content[key] for key in study_json()} == study_json()
    assert len(record.trials) == 8


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "seed": lambda r: r["trials"][0].update(seed=7),
    "axes": lambda r: r["trials"][0]["axes"].update(backbone="cnn"),
    "name": lambda r: r["trials"][0].update(name="other.s0"),
    "labels": lambda r: r["trials"][0].update(config={"data": {"labels": "u_ones"}}),
    "objective": lambda r: r["spec"]["objectives"][0].update(goal="minimize"),
    "claim": lambda r: r.update(claim="another"),
    "a trial less": lambda r: r["trials"].pop(),
    "no seal": lambda r: r.pop("seal"),
    "no schema": lambda r: r.pop("schema"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_record_is_refused_in_one_line(store: ArtifactStore, change: str) -> None:
    record = json.loads(path_of(store).read_text())
    CHANGES[change](record)
    path_of(store).write_text(json.dumps(record))
    assert refused(store).endswith(
        f"study.json is damaged (it differs from what was stored); {AGAIN}"
    )


def test_no_flipped_bit_goes_unnoticed(store: ArtifactStore) -> None:
    """What a flip may leave is the same content: a space that became another white space."""
    written = path_of(store).read_bytes()
    before, random = read_study_record(store, "tiny")[1], Random(7)
    unnoticed = 0
    for _ in range(300):
        flipped = bytearray(written)
        flipped[random.randrange(len(written))] ^= 1 << random.randrange(8)
        path_of(store).write_bytes(bytes(flipped))
        try:
            assert read_study_record(store, "tiny")[1] == before
            unnoticed += 1
        except BadFile:
            continue
    assert unnoticed < 30


def test_a_record_of_an_older_version_is_read_without_a_word(
    store: ArtifactStore, study_json: Record
) -> None:
    store.write_json(study_json(), "studies", "tiny", "study.json")
    assert read_study_record(store, "tiny")[1] == study_json()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it is empty"),
        ('{"study": "ti', "it is incomplete: it ends in line 1"),
        ('{"study": }', "it is not valid JSON from line 1, column 11"),
        ("[]", "it is not a JSON object"),
        ('{"study": "other"}', "it is the record of study 'other'"),
    ],
)
def test_a_damaged_record_says_why_in_our_words(
    store: ArtifactStore, content: str, reason: str
) -> None:
    path_of(store).write_text(content)
    assert f"is damaged ({reason}); {AGAIN}" in refused(store)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"axes": "x"}, "axes: must be a list, not 'x'"),
        ({"axes": ["a\x1b"]}, r"axes.0: must be one line without control characters, not 'a\x1b'"),
        ({"trials": None}, "trials: must be a list, not None"),
    ],
)
def test_wrong_values_are_named_in_our_words(
    store: ArtifactStore, study_json: Record, change: dict[str, Any], reason: str
) -> None:
    write_study_record(store, "tiny", study_json() | change)
    assert f"({reason})" in refused(store)


@pytest.mark.parametrize(
    ("what", "reason"), [("folder", "is not a regular file"), ("none", "is missing")]
)
def test_a_record_that_is_no_file_is_refused(store: ArtifactStore, what: str, reason: str) -> None:
    path_of(store).unlink()
    if what == "folder":
        path_of(store).mkdir()
    assert f"(it {reason})" in refused(store)
