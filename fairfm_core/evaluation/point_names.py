"""Names of operating points: `fpr=0.2`, `sensitivity=0.8`, `f1`."""

from __future__ import annotations

from fairfm_core.errors import BadInput, did_you_mean

WITH_RATE = ("fpr", "sensitivity")
WITHOUT_RATE = ("f1",)


def parse_point(point: str) -> tuple[str, float]:
    """Rule and rate (0 where it takes none) of an operating point; BadInput for a wrong one."""
    rule, sign, text = point.partition("=")
    known = (*WITH_RATE, *WITHOUT_RATE)
    if rule not in known:
        raise BadInput(
            f"unknown operating point {point!r}{did_you_mean(rule, known)}; use such as fpr=0.2,"
            " sensitivity=0.8, f1"
        )
    if rule in WITHOUT_RATE:
        if sign:
            raise BadInput(f"operating point {point!r}: {rule} takes no rate; write {rule!r}")
        return rule, 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1:
        raise BadInput(f"operating point {point!r} needs a rate between 0 and 1, as in {rule}=0.2")
    return rule, rate
