"""How well a model's outputs tell groups apart: an attribute probe, measured as an AUC.

A logistic regression with an L2 penalty predicts, for each group, whether an image is of it, from
the logits of all pathologies (or from features). It is fitted on validation and measured on test,
whose patients are others: the AUC of each group against all others, and their mean over groups. 0.5
means that the outputs say nothing of the group. Outputs of an accurate model tell something
wherever a finding is more frequent in one group; within images of the same label they need not.

Intervals draw patients as those of the metrics do; the probe is not fitted again, so they do not
cover its fit. The null gives the groups of whole patients to other patients.

Source: Gichoya et al., Lancet Digital Health 2022; Yang et al., Nature Medicine 30 (2024) 2838.

Array suffixes: S seeds, N images, D inputs, G groups, B draws or permutations, Q patients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import rankdata

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.auc import auc, rank_cases, ranked_auc
from fairfm_core.evaluation.disaggregated.split_rows import unit_weights
from fairfm_core.evaluation.groups import Groups, groups_of
from fairfm_core.evaluation.kernels.recalibration import logit
from fairfm_core.evaluation.metrics import ratio
from fairfm_core.evaluation.predictions import Sample, SplitImages
from fairfm_core.seeding import stream

PENALTY = 1.0
"""Weight of the squared coefficients, whose inputs are standardised: scikit-learn's C = 1."""
STEPS, CONVERGED = 50, 1e-10
FEWEST = 10
"""Fewest images of a group, and of all others, with one label for an AUC within it."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """What the outputs of a model tell of the groups of one attribute on test; means over seeds."""

    groups: tuple[str, ...]
    value_G: Floats
    """AUC of each group against all others; NaN for one that either split lacks."""
    draw_BG: Floats
    null_BG: Floats
    within_label_G: Floats
    """The same among images of one label, mean over labels; NaN where all are too few."""


def encoded(fit: Sample, test: Sample, attribute: str, settings: EvaluationSettings) -> Encoding:
    """The probe of a model's scores, fitted on one split and measured on another."""
    inputs = [np.swapaxes(logit(sample.score_SPN), 1, 2) for sample in (fit, test)]
    return probed(inputs[0], inputs[1], (fit.images, test.images), attribute, settings)


def probed(
    fit_SND: Floats,
    test_SND: Floats,
    images: tuple[SplitImages, SplitImages],
    attribute: str,
    settings: EvaluationSettings,
) -> Encoding:
    """As `encoded`, from any numbers of the images of both splits, in their order."""
    fit_groups, groups = (
        groups_of(each.frame, attribute, settings.age_edges, each.all_splits) for each in images
    )
    count = len(groups.names)
    probes = 1 if count == 2 else count  # of two groups, each is all that the other is not
    score_SGN = np.array(
        [
            [_probe(fit_ND, test_ND, fit_groups.code_N, g) for g in range(probes)]
            for fit_ND, test_ND in zip(fit_SND, test_SND, strict=True)
        ]
    )
    test = _ProbedSplit(images[1], groups, score_SGN, settings)
    measured = (test.values(), test.draws(), test.null(), test.within_label())
    return Encoding(groups.names, *(np.repeat(each, count // probes, axis=-1) for each in measured))


def _probe(fit_ND: Floats, test_ND: Floats, code_N: Ints, group: int) -> Floats:
    """The probe's logit of each test image; NaN where it cannot be fitted."""
    known_n = np.flatnonzero(code_N >= 0)
    member_n = code_N[known_n] == group
    if member_n.all() or not member_n.any():
        return np.full(len(test_ND), np.nan)
    mean_D, sd_D = fit_ND[known_n].mean(axis=0), fit_ND[known_n].std(axis=0)
    scaled_nD, scaled_ND = (
        (each - mean_D) / np.where(sd_D > 0, sd_D, 1) for each in (fit_ND[known_n], test_ND)
    )
    coefficients = ridge_logistic(scaled_nD, member_n)
    logit_N: Floats = scaled_ND @ coefficients[1:] + coefficients[0]
    return logit_N


def ridge_logistic(input_ND: Floats, positive_N: Bools) -> Floats:
    """Intercept, which is not penalised, and coefficients [1 + D], by Newton's method.

    Minimises the sum of the log losses plus half of `PENALTY` times the squared coefficients.
    """
    ones_ND = np.column_stack([np.ones(len(input_ND)), input_ND])
    penalty_D = np.full(ones_ND.shape[1], PENALTY)
    penalty_D[0] = 0.0
    share = float(positive_N.mean())
    coefficients_D = np.zeros(ones_ND.shape[1])
    coefficients_D[0] = np.log(share / (1 - share))
    for _ in range(STEPS):
        chance_N = expit(ones_ND @ coefficients_D)
        gradient_D = ones_ND.T @ (chance_N - positive_N) + penalty_D * coefficients_D
        bend_N = chance_N * (1 - chance_N)
        hessian_DD = (ones_ND * bend_N[:, None]).T @ ones_ND + np.diag(penalty_D)
        step_D = np.linalg.solve(hessian_DD, gradient_D)
        coefficients_D = coefficients_D - step_D
        if np.abs(step_D).max() < CONVERGED:
            break
    return coefficients_D


@dataclass(frozen=True, eq=False)
class _ProbedSplit:
    """The test images that belong to a group, with the probes' scores."""

    images: SplitImages
    groups: Groups
    score_SGN: Floats
    settings: EvaluationSettings

    @cached_property
    def known_n(self) -> Ints:
        """Their places in the split."""
        return np.flatnonzero(self.groups.code_N >= 0)

    @cached_property
    def code_n(self) -> Ints:
        """Their groups."""
        return self.groups.code_N[self.known_n]

    def values(self) -> Floats:
        """AUC of each group against all others, [G]."""
        return self._means(lambda score_n, g: auc(score_n, self.code_n == g))

    def draws(self) -> Floats:
        """The same in every draw of patients, [B, G]."""
        unit_N, weights_BU = unit_weights(self.images, self.settings)
        drawn_BU, unit_n = weights_BU[1:], unit_N[self.known_n]
        return self._means(
            lambda score_n, g: ranked_auc(rank_cases(score_n, self.code_n == g), drawn_BU, unit_n)
        )

    def null(self) -> Floats:
        """The same when patients have the groups of other patients, [B, G]."""
        patients, code_BQ = self._patients, self._permuted_codes()
        return self._means(lambda score_n, g: _aucs(score_n, patients, code_BQ == g))

    def within_label(self) -> Floats:
        """The same among images of one label, mean over labels, [G]."""
        label_Pn = self.images.label_PN[:, self.known_n]
        return self._means(lambda score_n, g: _within(score_n, self.code_n == g, label_Pn))

    def _means(self, measured: Callable[[Floats, int], float | Floats]) -> Floats:
        """What is measured of each group, mean over seeds, groups last; NaN without a probe."""
        score_SGn = self.score_SGN[:, :, self.known_n]
        by_group = []
        for g in range(score_SGn.shape[1]):
            seeds = [np.asarray(measured(score_n, g)) for score_n in score_SGn[:, g]]
            mean: Floats = np.mean(seeds, axis=0)
            by_group.append(np.where(np.isnan(score_SGn[:, g]).any(), np.nan, mean))
        return np.stack(by_group, axis=-1)

    @cached_property
    def _patients(self) -> _Patients:
        patient_n = self.images.patient_N[self.known_n]
        _, first_Q, place_n = np.unique(patient_n, return_index=True, return_inverse=True)
        return _Patients(self.code_n[first_Q], place_n)

    def _permuted_codes(self) -> Ints:
        """The group of each patient in every permutation of the patients, [B, Q]."""
        code_Q = self._patients.code_Q
        random = stream(self.settings.seed, "attribute probe", self.groups.attribute)
        return np.array([random.permutation(code_Q) for _ in range(self.settings.replicates)])


@dataclass(frozen=True, eq=False)
class _Patients:
    """The patients of some images."""

    code_Q: Ints
    """Their groups."""
    place_n: Ints
    """The patient of each image."""

    def sums(self, value_n: Floats | None = None) -> Floats:
        """The sum over the images of each patient; without values, their number."""
        sum_Q: Floats = np.bincount(self.place_n, value_n, len(self.code_Q)).astype(np.float64)
        return sum_Q


def _aucs(score_n: Floats, patients: _Patients, member_BQ: Bools) -> Floats:
    """AUC [B] of the same scores with the images of other patients; NaN where all or none are.

    Ranks are summed by patient first: half-integers, of which every order has the same sum.
    """
    rank_Q, images_Q = patients.sums(rankdata(score_n)), patients.sums()
    drawn_BQ = member_BQ.astype(np.float64)
    members_B, ranks_B = drawn_BQ @ images_Q, drawn_BQ @ rank_Q
    pairs_B = members_B * (len(score_n) - members_B)
    return ratio(ranks_B - members_B * (members_B + 1) / 2, pairs_B)


def _within(score_n: Floats, member_n: Bools, label_Pn: npt.NDArray[np.float32]) -> float:
    """Mean AUC among the positives and among the negatives of each pathology."""
    aucs = []
    order_n = np.argsort(score_n)  # once: what is in order takes little time to sort
    score_n, member_n = score_n[order_n], member_n[order_n]
    for label_n in label_Pn[:, order_n]:
        for value in (0, 1):
            same_n = label_n == value
            members = int(member_n[same_n].sum())
            if min(members, int(same_n.sum()) - members) >= FEWEST:
                aucs.append(auc(score_n[same_n], member_n[same_n]))
    return float(np.mean(aucs)) if aucs else float("nan")
