"""Logistic recalibration of scores: logit P(y) = a + b logit(p), for each group.

A perfectly calibrated model has slope b = 1 and intercept 0. The slope is that of the fit of both;
the intercept that of the fit with the slope held at 1 (calibration in the large). Cox 1958; Van
Calster et al., BMC Medicine 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Floats

Images = tuple[Floats, Floats, Floats]
"""Logits, labels and weights of some images."""

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1, where a logit is infinite."""
FULL_STEPS = 25
LAST_STEP = 1e-5
"""Steps of third order end with one below it."""
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
    label_n: Floats,
    weight_n: Floats,
    parts_G: Sequence[Sequence[slice]],
    start_3: Floats | tuple[float, ...] = PERFECT,
) -> Floats:
    """Intercept a and slope b of the joint fit, and the intercept at slope 1: [groups, 3].

    `parts_G` says where the images of each group are. NaN for a group whose fit does not converge:
    no weight on a class, or scores that separate the classes or are all alike. Steps of third order
    from `start_3`, limited ones where they diverge.
    """
    start_3 = np.where(np.isfinite(start_3), start_3, PERFECT)
    fitted_G3 = np.empty((len(parts_G), 3))
    for g, parts in enumerate(parts_G):
        data = [(logit_n[part], label_n[part], weight_n[part]) for part in parts]
        with np.errstate(over="ignore", invalid="ignore"):  # where there is no fit, steps overflow
            fit_3 = np.append(_joint_steps(data, *start_3[:2]), _offset_steps(data, start_3[2]))
            fitted_G3[g] = fit_3 if np.isfinite(fit_3).all() else _careful_fit(data)
    fitted_G3[np.abs(fitted_G3[:, 1]) > STEEPEST, :2] = np.nan
    return fitted_G3


def _joint_steps(data: Sequence[Images], a: float, b: float) -> tuple[float, float]:
    """Intercept and slope by steps of third order; NaN where they do not converge."""
    for _ in range(FULL_STEPS):
        sums = [_joint_sums()(*images, np.exp(-a - b * images[0])) for images in data]
        step_a, step_b = _joint_step(*map(sum, zip(*sums, strict=True))) if sums else (np.nan,) * 2
        a, b = a + step_a, b + step_b
        # What is left is of the order of the cube of the step just taken.
        if not max(abs(step_a), abs(step_b)) >= LAST_STEP:
            return a, b
    return np.nan, np.nan


def _joint_step(*sums: float) -> tuple[float, float]:
    """The root of the likelihood's first derivative expanded to second order; NaN where there is
    none."""
    s0, s1, h0, h1, h2, t0, t1, t2, t3 = sums
    determinant = h0 * h2 - h1 * h1
    if not determinant > 1e-12 * h0 * h2:
        return np.nan, np.nan
    newton = a, b = (h2 * s0 - h1 * s1) / determinant, (h0 * s1 - h1 * s0) / determinant
    for _ in range(2):
        r0 = s0 - 0.5 * (a * a * t0 + 2 * a * b * t1 + b * b * t2)
        r1 = s1 - 0.5 * (a * a * t1 + 2 * a * b * t2 + b * b * t3)
        a, b = (h2 * r0 - h1 * r1) / determinant, (h0 * r1 - h1 * r0) / determinant
    near = max(abs(a - newton[0]), abs(b - newton[1])) <= 0.5 * max(map(abs, newton))
    return (a, b) if near else newton


def _offset_steps(data: Sequence[Images], a: float) -> float:
    """Intercept at slope 1 by steps of third order; NaN where they do not converge."""
    odds = [np.exp(-images[0]) for images in data]
    for _ in range(FULL_STEPS):
        sums = [
            _offset_sums()(*images[1:], np.exp(-a), odds_n)
            for images, odds_n in zip(data, odds, strict=True)
        ]
        s, h, t = map(sum, zip(*sums, strict=True)) if sums else (0.0,) * 3
        if not h > 0:
            break
        newton = step = s / h
        for _ in range(2):
            step = (s - 0.5 * step * step * t) / h
        step = step if abs(step - newton) <= 0.5 * abs(newton) else newton
        a += step
        if abs(step) < LAST_STEP:
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
) -> tuple[float, float, float, float, float, float, float, float, float]:
    """First, second and third derivatives of the log-likelihood of the joint fit.

    With q = 1 / (1 + odds), v = q (1 - q): s0, s1 = sum of w (y - q) times 1, u; h0, h1, h2 = sum
    of w v times 1, u, u^2; t0 to t3 = sum of w v (1 - 2q) times 1, u, u^2, u^3. `logit_n` u,
    `label_n` y (0 or 1), `weight_n` w, `odds_n` (1 - q) / q at the present intercept and slope: all
    float64 [n].
    """
    s0 = s1 = h0 = h1 = h2 = t0 = t1 = t2 = t3 = 0.0
    for n in range(len(logit_n)):
        u, probability = logit_n[n], 1 / (1 + odds_n[n])
        residual = weight_n[n] * (label_n[n] - probability)
        variance = weight_n[n] * (probability * (1 - probability))
        third = variance * (1 - 2 * probability)
        s0 += residual
        s1 += residual * u
        h0 += variance
        h1 += variance * u
        h2 += variance * u * u
        t0 += third
        t1 += third * u
        t2 += third * u * u
        t3 += third * u * u * u
    return s0, s1, h0, h1, h2, t0, t1, t2, t3


def _offset_loop(
    label_n: Floats, weight_n: Floats, factor: float, odds_n: Floats
) -> tuple[float, float, float]:
    """First, second and third derivatives with the slope held at 1.

    s = sum of w (y - q), h = sum of w v, t = sum of w v (1 - 2q), with q = 1 / (1 + factor x odds)
    and v = q (1 - q); `label_n` y, `weight_n` w, `odds_n` exp(-logit): float64 [n].
    """
    s = h = t = 0.0
    for n in range(len(label_n)):
        probability = 1 / (1 + factor * odds_n[n])
        variance = weight_n[n] * (probability * (1 - probability))
        s += weight_n[n] * (label_n[n] - probability)
        h += variance
        t += variance * (1 - 2 * probability)
    return s, h, t


def _careful_fit(data: Sequence[Images]) -> Floats:
    """Both fits of one group by Newton's method with limited steps; NaN where there is none."""
    if not data:
        return np.full(3, np.nan)
    logit_n, label_n, weight_n = map(np.concatenate, zip(*data, strict=True))
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
