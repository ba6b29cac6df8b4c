"""The time left as people are shown it: it changes gradually, and a jump comes with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sweeps.status.worker_time import duration
from sweeps.timing.time_left import Outlook

JUMP = 1.5
"""A change by more than this factor needs a reason."""
LEAST_JUMP = 10.0
"""Seconds below which no change is worth a word."""
SETTLING = 15.0
"""Seconds in which a smaller change is followed, for the most part."""
SHOWN_SECONDS = 60.0
"""How long a reason stays."""
NOTICED = 1.1
"""The factor from which on a rate has changed."""


class AnnouncedTime:
    """Follows an estimate: small changes gradually, large ones at once and with the reason.

    `why` is that reason for a minute, or until a longer time has run down to the one before it; it
    is empty at other times. Between two reasons the time shown never grows by half, or by ten
    seconds if that is more, over the least that was shown.
    """

    def __init__(self) -> None:
        self.why = ""
        self._shown: float | None = None
        self._least = 0.0
        """The smallest time shown since the last reason, less the time since then."""
        self._rates: Mapping[str, float] = {}
        self._at = self._said = 0.0
        self._event = ""
        self._exceeded = 0.0
        """The time that the last jump has lengthened."""

    def happened(self, what: str) -> None:
        """Something that may change the estimate, in words; the latest counts."""
        self._event = what

    def shown(self, now: float) -> float | None:
        """The seconds to show at `now` without another estimate."""
        if self._shown is None:
            return None
        seconds = max(0.0, self._shown - (now - self._at))
        self._forget_reason(seconds, now)
        return seconds

    def update(self, outlook: Outlook | None, now: float) -> float | None:
        """The seconds to show at `now`; None while nothing is known."""
        if outlook is None:
            return self.shown(now)
        if self._shown is None:
            return self._settle(outlook, outlook.seconds, now)
        passed, self._at = now - self._at, now
        expected = max(0.0, self._shown - passed)
        self._least = max(0.0, min(self._least - passed, expected))
        if _is_jump(outlook.seconds, expected):
            return self._jump(outlook, outlook.seconds, expected, now)
        shown = expected + (outlook.seconds - expected) * (1 - math.exp(-passed / SETTLING))
        if _is_jump(shown, self._least) and shown > self._least:
            return self._jump(outlook, shown, self._least, now)
        self._shown = shown
        self._least = min(self._least, shown)
        self._forget_reason(shown, now)
        return shown

    def _jump(self, outlook: Outlook, seconds: float, before: float, now: float) -> float:
        reason = self._reason(outlook, seconds > before)
        self.why = f"{duration(before)} expected before: {reason}"
        self._said, self._event = now, ""
        self._exceeded = before if seconds > before else 0.0
        return self._settle(outlook, seconds, now)

    def _forget_reason(self, seconds: float, now: float) -> None:
        """Leave the reason out once it is old, or would speak of more time than is shown."""
        if now - self._said > SHOWN_SECONDS or seconds < self._exceeded:
            self.why, self._exceeded = "", 0.0

    def _settle(self, outlook: Outlook, seconds: float, now: float) -> float:
        self._shown = self._least = seconds
        self._rates, self._at = outlook.rates, now
        return seconds

    def _reason(self, outlook: Outlook, longer: bool) -> str:
        """What has changed the estimate most, in one direction."""
        changes = {
            words: (rate / before if longer else before / rate, outlook.shares[words])
            for words, rate in outlook.rates.items()
            if (before := self._rates.get(words)) and rate
        }
        noticed = {words: each for words, each in changes.items() if each[0] > NOTICED}
        if noticed:
            words = max(noticed, key=lambda w: (1 - 1 / noticed[w][0]) * noticed[w][1])
            factor = f"{noticed[words][0]:.1f}"
            if longer:
                return f"{words} takes {factor} times as long"
            return f"{words} is {factor} times as fast"
        return self._event or ("work takes longer" if longer else "less work is left")


def _is_jump(seconds: float, before: float) -> bool:
    """Whether two times differ by more than goes without a word."""
    smaller, larger = sorted((seconds, before))
    return larger > JUMP * smaller and larger - smaller > LEAST_JUMP
