"""Whether stored results support the paper's claims: estimates, corrected tests, verdicts.

The contrasts of one claim are one family (Holm). A claim is supported if all of its contrasts are,
contradicted if one of them is, else not distinguishable: absence of evidence is not a tie, so the
smallest difference that each test would have found stands beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.special import ndtri

from analysis.paper.answers import PaperAnswer, PaperAnswers
from analysis.paper.claims.records import (
    CLAIMS,
    NONE,
    Contrast,
    GroupContrast,
    ModelContrast,
    PaperClaim,
    SlopeContrast,
)
from analysis.paper.contrasts import POWER, NumberAsked, corrected, paired, slope
from analysis.paper.published import AUC
from fairfm_core.evaluation.numbers import gap_name
from fairfm_core.evaluation.tables import Row

SUPPORTED, CONTRADICTED = "supported", "contradicted"
OPEN, NOT_RUN = "not distinguishable", "not run"
COLUMNS = (
    *("claim", "statement", "contrast", "number", "asserted", "difference", "lo", "hi"),
    *("null_difference", "p_value", "p_holm", "detectable", "verdict", "claim_verdict", "reason"),
)
ASSERTED = {1: "above 0", -1: "below 0", NONE: "no difference"}


@dataclass(frozen=True, eq=False)
class JudgedClaim:
    """A claim with its contrasts as rows and its verdict."""

    claim: PaperClaim
    rows: tuple[Row, ...]
    verdict: str


def judged_claims(answers: PaperAnswers) -> list[JudgedClaim]:
    """All claims, in the order of the paper."""
    return [_judged(claim, answers) for claim in CLAIMS]


def claims_frame(claims: Iterable[JudgedClaim]) -> pd.DataFrame:
    """One row for each contrast; columns of `COLUMNS`."""
    rows = [
        {**row, "claim": each.claim.number, "statement": each.claim.statement}
        | {"claim_verdict": each.verdict}
        for each in claims
        for row in each.rows
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def contrast_verdict(sign: int, difference: float | None, p: float | None, alpha: float) -> str:
    """What one contrast says of the sign that is asserted."""
    if difference is None or p is None or p >= alpha:
        return OPEN
    return SUPPORTED if sign * difference > 0 else CONTRADICTED


def claim_verdict(verdicts: Sequence[str]) -> str:
    """Of all contrasts together; those that were not run leave a claim open."""
    if all(each == NOT_RUN for each in verdicts):
        return NOT_RUN
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return SUPPORTED if all(each == SUPPORTED for each in verdicts) else OPEN


def _judged(claim: PaperClaim, answers: PaperAnswers) -> JudgedClaim:
    found = [_found(contrast, answers) for contrast in claim.contrasts]
    alpha = 1 - answers.settings.confidence
    rows = []
    for contrast, row in zip(claim.contrasts, corrected(found), strict=True):
        verdict = contrast_verdict(contrast.sign, row["difference"], row["p_holm"], alpha)
        verdict = NOT_RUN if row["reason"] == NOT_RUN else verdict
        named = {"contrast": contrast.text, "asserted": ASSERTED[contrast.sign]}
        rows.append({**row, **named, "verdict": verdict})
    asserted = [
        row["verdict"]
        for contrast, row in zip(claim.contrasts, rows, strict=True)
        if contrast.sign != NONE or row["verdict"] == CONTRADICTED
    ]
    return JudgedClaim(claim, tuple(rows), claim_verdict(asserted))


def _found(contrast: Contrast, answers: PaperAnswers) -> Row:
    return ESTIMATES[type(contrast)](contrast, answers)


def _nothing(number: str, reason: str) -> Row:
    names = ("difference", "lo", "hi", "null_difference", "p_value", "detectable")
    return dict.fromkeys(names) | {"number": number, "reason": reason}


def _asked(column: str, answers: PaperAnswers) -> NumberAsked:
    name = AUC if column == AUC else gap_name(AUC, answers.request.definition, column)
    return NumberAsked(answers.protocol, answers.request.split, name, answers.settings.confidence)


def _of_models(contrast: ModelContrast, answers: PaperAnswers) -> Row:
    asked = _asked(contrast.column, answers)
    first, other = (answers.answer(each) for each in (contrast.first, contrast.other))
    if first is None or other is None:
        return _nothing(asked.name, NOT_RUN)
    return paired(first, other, asked, answers.six.values()) | {"number": asked.name}


def _of_slope(contrast: SlopeContrast, answers: PaperAnswers) -> Row:
    """The slope over a table's rows; of two rows, their difference."""
    asked = _asked(contrast.column, answers)
    held = {cell.row: answers.answer(cell.wanted) for cell in contrast.item.cells}
    weights = {"30 %": -1.0, "100 %": 1.0}
    if contrast.item.trend is not None:
        weights = contrast.item.trend.weights()
    parts: dict[str, tuple[float, PaperAnswer]] = {
        row: (weight, answer) for row, weight in weights.items() if (answer := held[row])
    }
    if len(parts) < len(weights):
        return _nothing(asked.name, NOT_RUN)
    return slope(parts, asked, answers.six.values()) | {"number": asked.name}


def _of_groups(contrast: GroupContrast, answers: PaperAnswers) -> Row:
    """A row of the stored differences, turned round where it stands the other way."""
    number = f"AUC, {contrast.pathology}"
    answer = answers.answer(contrast.model)
    if answer is None:
        return _nothing(number, NOT_RUN)
    table = answer.evaluation.differences
    own = table[
        (table["metric"] == AUC)
        & (table["split"] == answers.request.split)
        & (table["pathology"] == contrast.pathology)
        & (table["attribute"] == contrast.attribute)
    ]
    for group, reference, turned in (
        (contrast.group, contrast.reference, 1),
        (contrast.reference, contrast.group, -1),
    ):
        rows = own[(own["group"] == group) & (own["reference"] == reference)]
        if len(rows):
            row = _group_row(rows.to_dict("records")[0], turned, answers.settings.confidence)
            return row | {"number": number}
    return _nothing(number, f"no group {contrast.group} or no pathology {contrast.pathology}")


def _group_row(row: dict[Any, Any], turned: int, confidence: float) -> Row:
    """The difference of two groups; detectable is what the half width of its interval tells."""
    value, lo, hi, p, reason = (
        None if pd.isna(row[name]) else row[name]
        for name in ("value", "lo", "hi", "p_value", "reason")
    )
    limits = [None if each is None else turned * each for each in (lo, hi)][::turned]
    reach = float(ndtri((1 + confidence) / 2))
    least = None if lo is None else (hi - lo) / 2 * (reach + float(ndtri(POWER))) / reach
    return {
        "difference": None if value is None else turned * value,
        "lo": limits[0],
        "hi": limits[1],
        "null_difference": None,
        "p_value": p,
        "detectable": least,
        "reason": reason,
    }


ESTIMATES: dict[type[Any], Callable[[Any, PaperAnswers], Row]] = {
    ModelContrast: _of_models,
    SlopeContrast: _of_slope,
    GroupContrast: _of_groups,
}
"""How a contrast is estimated, by its kind."""
