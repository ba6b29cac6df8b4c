"""Labels and scores as people store them, made 0, 1 or null and probabilities.

Scores are kept in 32 bits. Scores that differ stay different and in their order, so an AUC is that
of the scores in the file: a logit of 20 and one of 25 are not both 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairfm_core.data.attribute_values import UNKNOWN_WORDS
from fairfm_core.errors import BadInput, first_ten

Floats = npt.NDArray[np.float64]
LABEL_WORDS = {"true": 1.0, "yes": 1.0, "positive": 1.0, "pos": 1.0} | {
    "false": 0.0,
    "no": 0.0,
    "negative": 0.0,
    "neg": 0.0,
}

LABELS = (
    "labels are 1 or 0, yes or no, true or false, positive or negative, or blank (unknown or"
    " uncertain)"
)
"""What a label may be, in words."""


def _sigmoid(logit_N: Floats) -> Floats:
    """1 / (1 + exp(−x)), accurate at both ends."""
    small_N = np.exp(-np.abs(logit_N))
    return np.where(logit_N >= 0, 1.0, small_N) / (1.0 + small_N)


@dataclass(frozen=True)
class ScoreScale:
    """What scores are, which are possible, and the probability of each."""

    low: float
    high: float
    allowed: str
    probability: Callable[[Floats], Floats]


SCALES = {
    "probabilities": ScoreScale(0, 1, "a probability in 0..1", lambda score_N: score_N),
    "logits": ScoreScale(-np.finfo(np.float64).max, np.finfo(np.float64).max, "a number", _sigmoid),
    "percent": ScoreScale(0, 100, "a percentage in 0..100", lambda score_N: score_N / 100),
}
"""What --scores may be."""


def numbers(column: pd.Series[Any], name: str, expected: str = "numbers are expected") -> Floats:
    """A column as numbers, [N], NaN where blank; a decimal comma is read too.

    Raises BadInput, naming the first culprits and what is `expected`, for a column that holds
    words.
    """
    if pd.api.types.is_complex_dtype(column):
        raise BadInput(f"column {name!r} holds complex numbers; real numbers are expected")
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    text = _known_text(column)
    number = pd.to_numeric(text, errors="coerce")
    if (odd := number.isna() & text.notna()).any():
        number = pd.to_numeric(text.str.replace(",", ".", regex=False), errors="coerce")
        odd = number.isna() & text.notna()
    if odd.any():
        words = first_ten(repr(word) for word in text[odd].unique()[:3])
        raise BadInput(f"column {name!r} holds words, such as {words}; {expected}")
    return number.to_numpy(dtype=np.float64, na_value=np.nan)


def label_numbers(column: pd.Series[Any], name: str) -> Floats:
    """Labels as 1, 0 or NaN (unknown); also yes, no, true, false, positive and negative."""
    if pd.api.types.is_numeric_dtype(column):
        label_N = numbers(column, name)
    else:
        text = _known_text(column).str.lower()
        word_N = text.map(LABEL_WORDS).astype("float64")
        rest = text.mask(word_N.notna())
        label_N = np.where(word_N.notna(), word_N.to_numpy(np.float64), numbers(rest, name, LABELS))
    odd_N = ~(np.isnan(label_N) | (label_N == 0) | (label_N == 1))
    if odd_N.any():
        raise BadInput(
            f"{name} holds {first_ten(f'{value:g}' for value in np.unique(label_N[odd_N]))};"
            " allowed: 1, 0 and blank (unknown or uncertain)"
        )
    return label_N


def probabilities(
    score_N: Floats, scale: str, name: str, image_ids: npt.NDArray[Any]
) -> npt.NDArray[np.float32]:
    """The probabilities of scores, in 32 bits and in the scores' order.

    Raises:
        BadInput: a score that is blank or not on the scale, with the scale that it may be on.
    """
    kind = SCALES[scale]
    wrong_N = ~((score_N >= kind.low) & (score_N <= kind.high))  # catches NaN too
    if wrong_N.any():
        first = int(np.flatnonzero(wrong_N)[0])
        what = "blank" if np.isnan(score_N[first]) else f"{score_N[first]:g}"
        rows = int(wrong_N.sum())
        raise BadInput(
            f"{name} of image {str(image_ids[first])!r} is {what}; {kind.allowed} is expected"
            f" ({rows:,} of {len(score_N):,} rows){_advice(score_N, scale)}"
        )
    return in_32_bits(kind.probability(score_N), score_N)


def in_32_bits(probability_N: Floats, score_N: Floats) -> npt.NDArray[np.float32]:
    """Probabilities in 32 bits, each distinct score with a value of its own.

    Neighbours that rounding would make equal are moved apart by the smallest possible step.
    """
    scores_u, place_N = np.unique(score_N, return_inverse=True)
    probability_u = np.empty(len(scores_u))
    probability_u[place_N] = probability_N
    # Bits of positive numbers are in the order of the numbers: a step is the next number.
    bits_u = (probability_u + 0.0).astype(np.float32).view(np.int32).astype(np.int64)  # no -0.0
    step_u = np.arange(len(bits_u))
    bits_u = np.minimum.accumulate((bits_u - step_u)[::-1])[::-1] + step_u
    bits_u = np.maximum.accumulate(np.maximum(bits_u, 0) - step_u) + step_u
    return bits_u.astype(np.int32).view(np.float32)[place_N]


def is_decision(score_N: Floats) -> bool:
    """Whether scores take two values at most: decisions, from which no curve can be drawn."""
    return bool(((score_N == score_N.min()) | (score_N == score_N.max())).all())


def doubts(scale: str, low: float, high: float, decided: bool = False) -> list[str]:
    """What is odd about scores of a scale that lie between two limits: a sentence, or none.

    Args:
        scale: a key of `SCALES`.
        low: the smallest score of all pathologies.
        high: the largest one.
        decided: whether no pathology has more than two different scores.
    """
    if decided:
        return [
            "each score is one of two values, so these are decisions: their AUC is that of one"
            " operating point, (sensitivity + specificity) / 2, and lower than the model's own"
        ]
    if scale == "logits" and low >= 0 and high <= 1:
        return ["all scores are in 0..1: are they probabilities? Then leave out --scores logits"]
    if scale == "percent" and high <= 1:
        return ["no score is above 1 %: are they probabilities? Then leave out --scores percent"]
    return []


def _known_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column as text without white space around it; null for words that mean unknown."""
    text = column.astype("str").str.strip()
    return text.mask(text.str.lower().isin(UNKNOWN_WORDS))


def _advice(score_N: Floats, scale: str) -> str:
    finite_N = score_N[np.isfinite(score_N)]
    if scale != "probabilities" or not len(finite_N):
        return ""
    if finite_N.min() >= 0 and 1 < finite_N.max() <= 100:
        return "; for percentages say --scores percent, for logits --scores logits"
    outside = finite_N.min() < 0 or finite_N.max() > 1
    return "; for logits say --scores logits" if outside else ""
