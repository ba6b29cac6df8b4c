"""Variance of a group's AUC, and its covariance between two models of the same patients.

Hanley and McNeil (Radiology 1982) give the variance of an AUC A with m positives and n negatives as

    (A (1 - A) + (m - 1) (Q1 - A^2) + (n - 1) (Q2 - A^2)) / (m n)

with Q1 the probability that two positives lie above a negative, and Q2 that a positive lies above
two negatives. Their Q are those of exponential scores; for binormal scores with equal variances

    Q1 = Q2 = Phi2(h, h; 1/2),    h = Phi^-1(A)

where Phi2 is the bivariate normal distribution. The exponential Q2 overstates the error of a rare
finding (decision 41). Images of a patient whose scores correlate by r count as

    images / (1 + (k - 1) q),    q = (Phi2(h, h; r/2) - A^2) / (Phi2(h, h; 1/2) - A^2)

with k images of a patient: m and n are effective numbers.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, owens_t

from fairfm_core.evaluation.arrays import Floats


def auc_variance(
    auc: Floats, patients_2: Floats, images: float, patient_correlation: float
) -> Floats:
    """Variance of AUCs [...] with the patients of each class [..., 2], negatives first.

    `images` is the number of images of a patient.
    """
    shared = joint_excess(auc, 1.0)
    inflation = 1 + (images - 1) * joint_excess(auc, patient_correlation) / shared
    effective_2 = np.asarray(patients_2) * images / inflation[..., None]
    n, m = effective_2[..., 0], effective_2[..., 1]
    variance: Floats = (auc * (1 - auc) + (m + n - 2) * shared) / (m * n)
    return variance


def model_correlation_of_errors(
    auc: Floats, images: float, patient_correlation: float, model_correlation: float
) -> Floats:
    """Correlation of the errors of two models' AUCs of a group, [...], in 0..1.

    To first order in 1 / patients: what the placements of a patient's images have in common.
    """
    across, within = (
        joint_excess(auc, between) + (images - 1) * joint_excess(auc, between * patient_correlation)
        for between in (model_correlation, 1.0)
    )
    correlation: Floats = across / within
    return correlation


def joint_excess(auc: Floats, correlation: float) -> Floats:
    """Phi2(h, h; correlation / 2) - A^2: covariance of the placements of two scores of a class.

    Phi2(h, h; r) = Phi(h) - 2 T(h, sqrt((1 - r) / (1 + r))), T Owen's function (Owen, Annals of
    Mathematical Statistics 1956).
    """
    auc = np.asarray(auc, dtype=np.float64)
    r = correlation / 2
    both = auc - 2 * owens_t(ndtri(auc), np.sqrt((1 - r) / (1 + r)))
    excess: Floats = both - auc**2
    return excess
