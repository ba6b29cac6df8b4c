"""Values as people type them become one group each, once and for all."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairfm_core.data.attribute_values import UNKNOWN_WORDS, cleaned_attributes, cleaned_column

ENTRIES = st.sampled_from(["F", "f", " F", "F  ", "Black  African", "black african", "nan", "None"])
COLUMNS = st.lists(st.one_of(st.none(), ENTRIES), min_size=1, max_size=20)


@pytest.mark.slow
@given(COLUMNS)
def test_cleaning_is_plain_idempotent_and_counted(entries: list[str | None]) -> None:
    text = pd.Series(entries, dtype="str")
    cleaned, changed = cleaned_column(text)
    again, nothing = cleaned_column(cleaned)
    pd.testing.assert_series_equal(cleaned, again)
    assert nothing == {}
    for before, after in zip(entries, cleaned.astype(object), strict=True):
        unknown = before is None or " ".join(before.split()).lower() in UNKNOWN_WORDS
        assert pd.isna(after) == unknown
        if not unknown:
            assert " ".join(str(before).split()).casefold() == after.casefold()
    assert len({value.casefold() for value in cleaned.dropna()}) == cleaned.nunique()
    assert bool(changed) == (not text.equals(cleaned))


def test_the_most_frequent_spelling_wins() -> None:
    cleaned, changed = cleaned_column(pd.Series(["white", "White", "WHITE", "White", "white "]))
    assert cleaned.tolist() == ["White"] * 5
    assert changed == {"white space removed": 1, "spelling unified": 3}


def test_numbers_stay() -> None:
    frame = pd.DataFrame({"age": [1.0, None], "site": ["a ", "unknown"], "none": [None, None]})
    cleaned, notes = cleaned_attributes(frame, ["age", "site", "none"])
    assert cleaned["age"].tolist()[0] == 1.0
    assert cleaned["site"].tolist()[0] == "a"
    assert notes == {"site: unknown in words, set to null": 1, "site: white space removed": 1}
