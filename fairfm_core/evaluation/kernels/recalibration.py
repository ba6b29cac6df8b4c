"""Logistic recalibration of scores: logit P(y) = a + b logit(p), for each group.

A perfectly calibrated model has slope b = 1 and intercept 0. The slope is that of the fit of both;
the intercept that of the fit with the slope held at 1 (calibration in the large). Cox 1958; Van
Calster et al., BMC Medicine 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Floats, Ints

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1, where a logit is infinite."""
FULL_STEPS = 25
MOST_STEPS = 60
STEEPEST = 1e3
"""A slope beyond it means that the scores separate the classes: the fit has no end."""
LONGEST_STEP = 4.0
"""How far a limited step of Newton's method may move a logit."""
PERFECT = (0.0, 1.0, 0.0)
"""Intercept and slope of the joint fit, and the intercept at slope 1, of perfect calibration."""


def logit(score_n: npt.NDArray[Any]) -> Floats:
    """log(p / (1 - p)) of probabilities kept off 0 and 1."""
    kept_n = np.clip(score_n.astype(np.float64), SMALLEST, 1 - SMALLEST)
    logit_n: Floats = np.log(kept_n / (1 - kept_n))
    return logit_n


def fitted_groups(
    logit_n: Floats,
    positive_n: npt.NDArray[np.bool_],
    weight_n: Floats,
    code_n: Ints,
    groups: int,
    start_3: Floats | tuple[float, ...] = PERFECT,
) -> Floats:
    """Intercept a and slope b of the joint fit, and the intercept at slope 1: [groups, 3].

    NaN for a group whose fit does not converge: no weight on a class, or scores that separate the
    classes or are all alike. Newton's method from `start_3`, with halved steps where it diverges.
    """
    start_3 = np.where(np.isfinite(start_3), start_3, PERFECT)
    fitted_G3 = np.empty((groups, 3))
    label_n = positive_n.astype(np.float64)
    for g in range(groups):
        some_n = np.flatnonzero(code_n == g)
        data = logit_n[some_n], label_n[some_n], weight_n[some_n]
        with np.errstate(over="ignore", invalid="ignore"):  # where there is no fit, steps overflow
            fit_3 = np.append(_joint_newton(*data, *start_3[:2]), _offset_newton(*data, start_3[2]))
            fitted_G3[g] = fit_3 if np.isfinite(fit_3).all() else _careful_fit(*data)
    fitted_G3[np.abs(fitted_G3[:, 1]) > STEEPEST, :2] = np.nan
    return fitted_G3


def _joint_newton(
    logit_n: Floats, label_n: Floats, weight_n: Floats, a: float, b: float
) -> tuple[float, float]:
    """Intercept and slope by full Newton steps; NaN where they do not converge."""
    for _ in range(FULL_STEPS):
        s0, s1, h0, h1, h2 = _joint_sums()(logit_n, label_n, weight_n, np.exp(-a - b * logit_n))
        determinant = h0 * h2 - h1 * h1
        if not determinant > 1e-12 * h0 * h2:
            break
        step_a, step_b = (h2 * s0 - h1 * s1) / determinant, (h0 * s1 - h1 * s0) / determinant
        a, b = a + step_a, b + step_b
        # Steps shrink to their square: what is left is far below the step just taken.
        if max(abs(step_a), abs(step_b)) < 1e-6:
            return a, b
    return np.nan, np.nan


def _offset_newton(logit_n: Floats, label_n: Floats, weight_n: Floats, a: float) -> float:
    """Intercept at slope 1 by full Newton steps; NaN where they do not converge."""
    odds_n = np.exp(-logit_n)
    for _ in range(FULL_STEPS):
        residual, variance = _offset_sums()(label_n, weight_n, np.exp(-a), odds_n)
        if not variance > 0:
            break
        a += residual / variance
        if abs(residual / variance) < 1e-6:
            return a
    return np.nan


@cache
def _joint_sums() -> Callable[..., Any]:
    return compiled(_joint_loop, reordered=True)


@cache
def _offset_sums() -> Callable[..., Any]:
    return compiled(_offset_loop, reordered=True)


def _joint_loop(
    logit_n: Floats, label_n: Floats, weight_n: Floats, odds_n: Floats
) -> tuple[float, float, float, float, float]:
    """First and second derivatives of the log-likelihood of the joint fit.

    With q = 1 / (1 + odds): s0, s1 = sum of w (y - q) times 1, u; h0, h1, h2 = sum of w q (1 - q)
    times 1, u, u^2. `logit_n` u, `label_n` y (0 or 1), `weight_n` w, `odds_n` (1 - q) / q at the
    present intercept and slope: all float64 [n].
    """
    s0 = s1 = h0 = h1 = h2 = 0.0
    for n in range(len(logit_n)):
        u, probability = logit_n[n], 1 / (1 + odds_n[n])
        residual = weight_n[n] * (label_n[n] - probability)
        variance = weight_n[n] * (probability * (1 - probability))
        s0 += residual
        s1 += residual * u
        h0 += variance
        h1 += variance * u
        h2 += variance * u * u
    return s0, s1, h0, h1, h2


def _offset_loop(
    label_n: Floats, weight_n: Floats, factor: float, odds_n: Floats
) -> tuple[float, float]:
    """First and second derivatives with the slope held at 1.

    s = sum of w (y - q), h = sum of w q (1 - q), with q = 1 / (1 + factor x odds); `label_n` y,
    `weight_n` w, `odds_n` exp(-logit): float64 [n].
    """
    s = h = 0.0
    for n in range(len(label_n)):
        probability = 1 / (1 + factor * odds_n[n])
        s += weight_n[n] * (label_n[n] - probability)
        h += weight_n[n] * (probability * (1 - probability))
    return s, h


def _careful_fit(logit_n: Floats, label_n: Floats, weight_n: Floats) -> Floats:
    """Both fits of one group by Newton's method with limited steps; NaN where there is none."""
    some_n = np.flatnonzero(weight_n > 0)
    label_n, weight_n = label_n[some_n], weight_n[some_n]
    if len(np.unique(label_n)) < 2:
        return np.full(3, np.nan)
    intercept = _offset_fit(logit_n[some_n], label_n, weight_n)
    fit_2 = _joint_fit(logit_n[some_n], label_n, weight_n, intercept, np.inf)
    if np.isnan(fit_2).any():  # a first step far off can leave nothing but flat likelihood
        fit_2 = _joint_fit(logit_n[some_n], label_n, weight_n, intercept, LONGEST_STEP)
    return np.append(fit_2, intercept)


def _offset_fit(logit_n: Floats, label_n: Floats, weight_n: Floats) -> float:
    """Newton's method for a in logit P(y) = a + logit(p): concave, so limited steps converge."""
    a = 0.0
    for _ in range(MOST_STEPS):
        probability_n = sigmoid(a + logit_n)
        spread = float((weight_n * probability_n * (1 - probability_n)).sum())
        if spread <= 0:
            return np.nan
        step = float((weight_n * (label_n - probability_n)).sum()) / spread
        a += float(np.clip(step, -LONGEST_STEP, LONGEST_STEP))
        if abs(step) < 1e-11:
            return a
    return np.nan


def _joint_fit(
    logit_n: Floats, label_n: Floats, weight_n: Floats, start: float, longest: float
) -> Floats:
    """Newton's method with halved steps for a and b; NaN where it does not converge.

    No step moves the logit of an image by more than `longest`.
    """
    fit_2 = np.array([start, 1.0])
    design_2n = np.stack([np.ones_like(logit_n), logit_n])
    likelihood = _likelihood(fit_2 @ design_2n, label_n, weight_n)
    for _ in range(MOST_STEPS):
        probability_n = sigmoid(fit_2 @ design_2n)
        score_2 = design_2n @ (weight_n * (label_n - probability_n))
        information_22 = (
            design_2n * (weight_n * probability_n * (1 - probability_n))
        ) @ design_2n.T
        # Where steps overflowed, numpy raises instead of giving a condition number.
        if not (np.isfinite(information_22).all() and np.linalg.cond(information_22) < 1e14):
            break
        step_2 = np.linalg.solve(information_22, score_2)
        step_2 = step_2 * min(1.0, longest / max(np.abs(step_2 @ design_2n).max(), 1e-300))
        for _ in range(30):
            reached = _likelihood((fit_2 + step_2) @ design_2n, label_n, weight_n)
            if reached >= likelihood - 1e-12 * abs(likelihood):
                break
            step_2 = step_2 / 2
        fit_2, likelihood = fit_2 + step_2, reached
        if abs(fit_2[1]) > STEEPEST:
            break
        if np.abs(step_2).max() < 1e-10 * (1 + np.abs(fit_2).max()):
            return fit_2
    return np.full(2, np.nan)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    half: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return half


def _likelihood(linear_n: Floats, label_n: Floats, weight_n: Floats) -> float:
    return float((weight_n * (label_n * linear_n - np.logaddexp(0.0, linear_n))).sum())
