"""A marker reads back as it was written, and nothing else is taken for one."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairfm_core.storage import markers
from fairfm_core.storage.checksums import StoredFile
from fairfm_core.storage.markers import (
    CHECKSUM,
    is_inner_path,
    marker_content,
    parse_marker,
    parse_measured,
    parse_object,
)

ARTIFACT = "adapt/0123456789abcdef0123"
TIMES = {"seconds": 1.5, "finished": 1e9}

names = st.lists(st.from_regex(r"[a-zA-Z0-9_ ]{1,8}", fullmatch=True), min_size=1, max_size=3)
files = st.dictionaries(
    names.map("/".join),
    st.builds(StoredFile, st.integers(0, 2**63), st.from_regex(CHECKSUM, fullmatch=True)),
    max_size=5,
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def marker(**changes: Any) -> dict[str, Any]:
    """The content of a marker of one file, changed after it was sealed."""
    stored = {"predictions/val.parquet": StoredFile(5, "0" * 32)}
    return marker_content(ARTIFACT, stored, TIMES) | changes


def older(**changes: Any) -> dict[str, Any]:
    """The same as an older version wrote it, with changes."""
    content = marker()
    for key in ("artifact", "checksums", "seal"):
        del content[key]
    return content | changes


def sealed(**changes: Any) -> dict[str, Any]:
    """A marker that was changed and sealed again, as by somebody with bad intentions."""
    content = marker(**changes)
    return content | {"seal": markers._seal(content)}


def read(content: dict[str, Any]) -> Any:
    return parse_marker(json.dumps(content).encode(), ARTIFACT)


@pytest.mark.slow
@given(files, st.dictionaries(st.sampled_from(["stage", "software", "note"]), plain))
def test_it_reads_back_as_it_was_written(
    stored: dict[str, StoredFile], record: dict[str, Any]
) -> None:
    content = marker_content(ARTIFACT, stored, {**TIMES, **record})
    written = (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
    parsed = parse_marker(written, ARTIFACT)
    assert parsed.files == stored
    assert {key: parsed.record[key] for key in record} == json.loads(json.dumps(record))


@given(st.integers(0, 10**6), st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(position: int, bit: int) -> None:
    """What a flip may leave is the same content: a space that became another white space."""
    written = bytearray(json.dumps(marker(), indent=1, sort_keys=True).encode())
    written[position % len(written)] ^= 1 << bit
    try:
        parsed = parse_marker(bytes(written), ARTIFACT)
    except ValueError:
        return
    assert parsed.record == marker()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (marker(seconds=2.5), "differs from what was stored"),
        (marker(artifact="adapt/other"), "differs from what was stored"),
        (marker_content("adapt/other", {}, TIMES), "is that of 'adapt/other'"),
        (older(artifact=ARTIFACT), "differs from what was stored"),
        (older(schema=2), "schema 2"),
        (older(seconds="1"), "no number 'seconds'"),
        (older(finished=True), "no number 'finished'"),
        (older(files=["a"]), "lists no files"),
        (older(files={"../../x": 1}), "outside its folder"),
        (older(files={"/etc/passwd": 1}), "outside its folder"),
        (older(files={"a//b": 1}), "outside its folder"),
        (older(files={"a": -1}), "no size of 'a'"),
        (older(files={"a": True}), "no size of 'a'"),
        (older(files={"a": 1.0}), "no size of 'a'"),
        (sealed(checksums={}), "no checksum for each file"),
        (sealed(checksums={"predictions/val.parquet": "../x"}), "no checksum of"),
    ],
)
def test_what_no_stage_wrote_is_refused(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(content)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"null", b"[" * 10**5])
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it is"):
        parse_object(content)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_what_is_no_number_is_refused(number: str) -> None:
    content = json.dumps(older(seconds=0)).replace('"seconds": 0', f'"seconds": {number}')
    with pytest.raises(ValueError, match=r"not valid JSON|no number 'seconds'"):
        parse_marker(content.encode(), ARTIFACT)


def test_a_record_that_is_no_json_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        marker_content(ARTIFACT, {}, {**TIMES, "loss": float("nan")})


def test_older_markers_have_sizes_only() -> None:
    assert read(older()).files == {"predictions/val.parquet": StoredFile(5, None)}


@pytest.mark.parametrize("name", ["..", "../x", "a/../b", "/x", "a/", "", ".", "a/./b", "a\0b"])
def test_names_that_lead_elsewhere_are_no_inner_paths(name: str) -> None:
    assert not is_inner_path(name)
    assert is_inner_path("predictions/..val.parquet")


def test_measured_values_may_be_undefined() -> None:
    """A validation set without positives has no AUC."""
    content = b'{"val_auc": NaN}'
    assert math.isnan(parse_measured(content)["val_auc"])
    with pytest.raises(ValueError, match="undefined"):
        parse_object(content)
