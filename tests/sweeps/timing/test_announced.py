"""The time left as it is shown: gradual, and a jump has its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.timing.announced import JUMP, LEAST_JUMP, AnnouncedTime
from sweeps.timing.time_left import Outlook


def outlook(seconds: float, **rates: float) -> Outlook:
    return Outlook(seconds, rates, dict.fromkeys(rates, seconds))


def test_small_changes_are_followed_gradually_and_without_a_word() -> None:
    time_left = AnnouncedTime()
    assert time_left.update(outlook(100.0), 0.0) == 100.0
    first = time_left.update(outlook(120.0), 1.0)
    assert first is not None
    assert 99.0 < first < 103.0
    for second in range(2, 40):
        shown = time_left.update(outlook(121.0 - second), float(second))
    assert shown == pytest.approx(121.0 - 39, abs=3.0)
    assert time_left.why == ""


def test_a_jump_names_the_work_that_has_changed() -> None:
    """What was seen: 43 s, then 1 min 58 s, without a word."""
    time_left = AnnouncedTime()
    time_left.update(outlook(43.0, probes=1.0, tuning=1.0), 0.0)
    assert time_left.update(outlook(118.0, probes=1.0, tuning=2.9), 1.0) == 118.0
    assert time_left.why == "42 s expected before: tuning takes 2.9 times as long"
    assert time_left.update(outlook(20.0, probes=1.0, tuning=0.5), 2.0) == 20.0
    assert time_left.why == "1 min 57 s expected before: tuning is 5.8 times as fast"
    time_left.update(outlook(10.0, probes=1.0, tuning=0.5), 63.0)
    assert time_left.why == ""


def test_an_event_is_the_reason_where_no_rate_has_changed() -> None:
    time_left = AnnouncedTime()
    time_left.update(outlook(60.0, tuning=1.0), 0.0)
    time_left.happened("a lost worker's work is done again")
    time_left.update(outlook(200.0, tuning=1.0), 1.0)
    assert time_left.why == "59 s expected before: a lost worker's work is done again"


def test_without_an_estimate_the_last_one_goes_on() -> None:
    time_left = AnnouncedTime()
    assert time_left.update(None, 0.0) is None
    time_left.update(outlook(60.0), 1.0)
    assert time_left.update(None, 11.0) == 50.0


@given(st.lists(st.floats(0.0, 1e5), min_size=1, max_size=60))
def test_the_time_shown_never_grows_by_half_without_a_reason(estimates: list[float]) -> None:
    time_left, least = AnnouncedTime(), float("inf")
    for second, seconds in enumerate(estimates):
        said = time_left._said
        shown = time_left.update(outlook(seconds, tuning=1.0), float(second))
        assert shown is not None
        if time_left._said != said or second == 0:
            least = shown
        assert shown <= max(JUMP * least, least + LEAST_JUMP) + 1e-6
        least = max(0.0, min(least, shown) - 1.0)


def test_a_reason_ends_once_less_time_is_left_than_was_expected_before() -> None:
    """What was seen: "3 s left (26 s expected before: tuning takes 1.3 times as long)"."""
    time_left = AnnouncedTime()
    time_left.update(outlook(26.0, tuning=1.0), 0.0)
    time_left.update(outlook(40.0, tuning=1.3), 1.0)
    time_left.update(outlook(30.0, tuning=1.3), 11.0)
    assert time_left.why == "25 s expected before: tuning takes 1.3 times as long"
    assert time_left.shown(14.0) == 27.0
    assert time_left.why
    time_left.update(outlook(20.0, tuning=1.3), 21.0)
    assert time_left.why == ""


def test_a_reason_for_less_time_stays_for_its_minute() -> None:
    time_left = AnnouncedTime()
    time_left.update(outlook(118.0), 0.0)
    time_left.update(outlook(43.0), 1.0)
    time_left.update(outlook(3.0), 41.0)
    assert time_left.why == "1 min 57 s expected before: less work is left"
