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

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.machine_code import compiled

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1, where a logit is infinite."""
MOST_STEPS = 60
STEEPEST = 1e3
"""A slope beyond it means that the scores separate the classes: the fit has no end."""
PERFECT = (0.0, 1.0, 0.0)
"""Intercept and slope of the joint fit, and the intercept at slope 1, of perfect calibration."""


def logits(score_n: npt.NDArray[Any]) -> Floats:
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
    classes or are all alike. Newton's method from `start_3`, with halved steps where it strays.
    """
    start_3 = np.where(np.isfinite(start_3), start_3, PERFECT)
    fitted_G3 = np.tile(start_3, (groups, 1))
    converged_G2 = np.zeros((groups, 2), dtype=np.bool_)
    _newton()(logit_n, positive_n, weight_n, code_n, fitted_G3, converged_G2)
    for g in np.flatnonzero(~converged_G2.all(axis=1)):
        fitted_G3[g] = _careful_fit(logit_n, positive_n, weight_n, code_n == g)
    fitted_G3[np.abs(fitted_G3[:, 1]) > STEEPEST, :2] = np.nan
    return fitted_G3


@cache
def _newton() -> Callable[..., Any]:
    return compiled(_newton_loop)


def _newton_loop(
    logit_n: Any, positive_n: Any, weight_n: Any, code_n: Any, fitted_G3: Any, converged_G2: Any
) -> None:
    groups = len(fitted_G3)
    sums_G7 = np.zeros((groups, 7))
    for _ in range(25):
        sums_G7[:] = 0.0
        for n in range(len(logit_n)):
            g = code_n[n]
            if g < 0 or (converged_G2[g, 0] and converged_G2[g, 1]):
                continue
            u, label, weight = logit_n[n], 1.0 if positive_n[n] else 0.0, weight_n[n]
            if not converged_G2[g, 0]:
                chance = 1 / (1 + np.exp(-(fitted_G3[g, 0] + fitted_G3[g, 1] * u)))
                rest, bend = weight * (label - chance), weight * chance * (1 - chance)
                sums_G7[g, 0] += rest
                sums_G7[g, 1] += rest * u
                sums_G7[g, 2] += bend
                sums_G7[g, 3] += bend * u
                sums_G7[g, 4] += bend * u * u
            if not converged_G2[g, 1]:
                chance = 1 / (1 + np.exp(-(fitted_G3[g, 2] + u)))
                sums_G7[g, 5] += weight * (label - chance)
                sums_G7[g, 6] += weight * chance * (1 - chance)
        left = False
        for g in range(groups):
            s0, s1, h0, h1, h2, r, h = sums_G7[g]
            determinant = h0 * h2 - h1 * h1
            if not converged_G2[g, 0] and determinant > 1e-12 * h0 * h2:
                a, b = (h2 * s0 - h1 * s1) / determinant, (h0 * s1 - h1 * s0) / determinant
                fitted_G3[g, 0] += a
                fitted_G3[g, 1] += b
                # Steps shrink to their square: what is left is far below the step just taken.
                converged_G2[g, 0] = max(abs(a), abs(b)) < 1e-6
            if not converged_G2[g, 1] and h > 0:
                fitted_G3[g, 2] += r / h
                converged_G2[g, 1] = abs(r / h) < 1e-6
            left = left or not (converged_G2[g, 0] and converged_G2[g, 1])
        if not left:
            return


def _careful_fit(
    logit_n: Floats,
    positive_n: npt.NDArray[np.bool_],
    weight_n: Floats,
    member_n: npt.NDArray[np.bool_],
) -> Floats:
    """Both fits of one group by Newton's method with limited steps; NaN where there is none."""
    some_n = np.flatnonzero(member_n & (weight_n > 0))
    label_n, weight_n = positive_n[some_n].astype(np.float64), weight_n[some_n]
    if len(np.unique(label_n)) < 2:
        return np.full(3, np.nan)
    intercept = _offset_fit(logit_n[some_n], label_n, weight_n)
    return np.append(_joint_fit(logit_n[some_n], label_n, weight_n, intercept), intercept)


def _offset_fit(logit_n: Floats, label_n: Floats, weight_n: Floats) -> float:
    """Newton's method for a in logit P(y) = a + logit(p): concave, so limited steps converge."""
    a = 0.0
    for _ in range(MOST_STEPS):
        chance_n = sigmoid(a + logit_n)
        spread = float((weight_n * chance_n * (1 - chance_n)).sum())
        if spread <= 0:
            return np.nan
        step = float((weight_n * (label_n - chance_n)).sum()) / spread
        a += float(np.clip(step, -4.0, 4.0))
        if abs(step) < 1e-11:
            return a
    return np.nan


def _joint_fit(logit_n: Floats, label_n: Floats, weight_n: Floats, start: float) -> Floats:
    """Newton's method with halved steps for a and b; NaN where it does not converge."""
    fit_2 = np.array([start, 1.0])
    design_2n = np.stack([np.ones_like(logit_n), logit_n])
    likelihood = _likelihood(fit_2 @ design_2n, label_n, weight_n)
    for _ in range(MOST_STEPS):
        chance_n = sigmoid(fit_2 @ design_2n)
        slope_2 = design_2n @ (weight_n * (label_n - chance_n))
        bend_22 = (design_2n * (weight_n * chance_n * (1 - chance_n))) @ design_2n.T
        if not np.linalg.cond(bend_22) < 1e14:
            break
        step_2 = np.linalg.solve(bend_22, slope_2)
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
