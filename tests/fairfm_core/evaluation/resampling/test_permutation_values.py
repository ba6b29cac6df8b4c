"""Permuted groups in one pass: the numbers of a pass for each group, membership as weight."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.kernels import blocks, permuted_auc, permuted_sums
from fairfm_core.evaluation.kernels.ranking import ranked
from fairfm_core.evaluation.metrics import MetricRequest
from fairfm_core.evaluation.operating_points import thresholds_on
from fairfm_core.evaluation.predictions import sample_of
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from fairfm_core.evaluation.protocols.weighting import unweighted
from fairfm_core.evaluation.resampling.replicate_values import bootstrap_values
from tests.fairfm_core.evaluation.cohorts import (
    EDGES,
    cohort,
    group_values,
    null_values,
    shuffled_groups,
)

PATHOLOGIES = ("No Finding", "Edema")
ALL = ("auc", "auprc", "rates", "brier", "ece", "calibration")
SETTINGS = EvaluationSettings()
two_labels = partial(
    cohort, images=401, pathologies=PATHOLOGIES, decimals=2, unknown=0.1, missing=0.05
)


def request_of(sample, points=("fpr=0.2",)):
    return MetricRequest(ALL, thresholds_on(sample, points, len(PATHOLOGIES), 1))


def assert_one_pass_for_each_group(sample, weighting, permuted, request):
    """What `permuted_values` says, against everybody with the members' weights 1, others' 0."""
    values = null_values(weighting, permuted, request)
    outside = Groups("all", ("all",), np.where(permuted.unit_N < 0, -1, 0))
    unit_N = np.where(permuted.unit_N < 0, 0, permuted.unit_N)
    for g in range(len(permuted.groups.names)):
        member_BU = (permuted.code_BU == g).astype(np.uint8)
        (expected,) = group_values(weighting, [outside], member_BU, unit_N=unit_N, request=request)
        for name, value_BSPG in expected.items():
            found_BSP = values[name][..., g]
            assert np.isfinite(found_BSP).any(), name
            # Terms are rounded to another step where images of no group are among the cases.
            close = 1e-10 if name.startswith("calibration") else 1e-12
            np.testing.assert_allclose(found_BSP, value_BSPG[..., 0], 0, close, err_msg=name)


@pytest.mark.parametrize("attribute", ["race", "age", "race x age"])
@pytest.mark.parametrize("protocol", ["full", "resample"])
@pytest.mark.parametrize("points", [("fpr=0.2",), ("fpr=0.2", "f1", "sensitivity=0.8")])
def test_permuted_groups_equal_a_pass_for_each(attribute, protocol, points):
    frame = two_labels(images=1201).assign(sex="F")
    sample = sample_of([frame], "test", PATHOLOGIES)
    settings = SETTINGS.model_copy(update={"balance": ("sex",)})  # so that races are not looked at
    weighting = PROTOCOLS[protocol](sample, settings)
    permuted = shuffled_groups(sample, groups_of(frame, attribute, EDGES), 9, seed=0)
    assert_one_pass_for_each_group(sample, weighting, permuted, request_of(sample, points))


@pytest.mark.parametrize("attribute", ["race", "age"])
def test_the_cases_of_the_bootstrap_serve_as_well(attribute):
    frame = two_labels()
    sample = sample_of([frame], "test", PATHOLOGIES)
    weighting, request = unweighted(sample), request_of(sample)
    attributes = [everybody(len(frame)), *(groups_of(frame, a, EDGES) for a in ("age", "race"))]
    once_1Q = np.ones((1, len(sample.patient_ids)), dtype=np.uint16)
    problem = Problem(weighting, request, SETTINGS)
    cases = bootstrap_values(problem, attributes, once_1Q, sample.patient_N).cases
    permuted = shuffled_groups(sample, groups_of(frame, attribute, EDGES), 7, seed=0)
    anew = null_values(weighting, permuted, request)
    for name, value in null_values(weighting, permuted, request, cases).items():
        # The fits of the bootstrap are of everybody, those made anew of the images with a group.
        close = 1e-12 if not name.startswith("calibration") else 0.05
        np.testing.assert_allclose(value, anew[name], rtol=0, atol=close, err_msg=name)


@pytest.mark.slow
def test_blocks_and_the_width_of_counts_change_no_bit(monkeypatch):
    frame = two_labels()
    sample = sample_of([frame], "test", PATHOLOGIES)
    data = unweighted(sample), shuffled_groups(sample, groups_of(frame, "race", ()), 40, 0)
    whole = null_values(*data, request_of(sample))
    monkeypatch.setattr(blocks, "BLOCK_SIZE", 7)
    monkeypatch.setattr(permuted_auc, "SMALL", 0)
    for name, value in null_values(*data, request_of(sample)).items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)


@pytest.mark.parametrize("images", [5, 6, 7, 60, 401])
def test_sums_over_members_are_those_of_the_images(images):
    frame = two_labels(images=images)
    sample = sample_of([frame], "test", PATHOLOGIES)
    groups = groups_of(frame, "race", ())
    attributes = [everybody(images), groups]
    once_1Q = np.ones((1, len(sample.patient_ids)), dtype=np.uint16)
    request = MetricRequest(("auc", "brier", "ece"))
    problem = Problem(unweighted(sample), request, SETTINGS)
    first = bootstrap_values(problem, attributes, once_1Q, sample.patient_N).cases[0]
    permuted = shuffled_groups(sample, groups, 3, seed=0)
    (block,) = blocks.blocks_of(permuted.code_BU)
    found = permuted_sums.permuted_sums([first.summed], permuted.unit_N, block, len(groups.names))
    labelled_N = ~np.isnan(sample.label_PN[0])
    for b, g in np.ndindex(3, len(groups.names)):
        code_N = np.where(permuted.unit_N < 0, -1, permuted.code_BU[b, permuted.unit_N])
        some_N = labelled_N & (code_N == g)
        label_n = sample.label_PN[0, some_N]
        squared = np.square(label_n - sample.score_SPN[0, 0, some_N].astype(float)).sum()
        counts = [(label_n == 1).sum(), (label_n == 0).sum(), squared]
        np.testing.assert_allclose(found[first.summed][b, g, :3], counts, rtol=0, atol=1e-11)


def test_a_ranking_among_some_images_opens_each_score_once():
    score_N, label_N = np.array([0.3, 0.1, 0.3, 0.2, 0.1]), np.array([1, 0, 0, 1, 1])
    ranking = ranked(score_N, label_N, np.arange(5))
    inside_N = np.array([True, True, True, False, True])
    inside_N[ranking.case_n[0]] = False  # it opens the lowest score
    some = ranking.among(inside_N)
    assert score_N[some.case_n].tolist() == [0.1, 0.3, 0.3]
    assert some.opens_n.tolist() == [True, True, False]
    assert some.positive_n.tolist() == (label_N[some.case_n] == 1).tolist()
    assert ranking.among(np.ones(5, dtype=bool)) is ranking
