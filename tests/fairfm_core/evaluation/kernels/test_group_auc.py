"""AUC of every group in every weighting: that of the sample written out, one row a drawn image."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.groups import Groups, everybody
from fairfm_core.evaluation.kernels import blocks, group_auc, pairwise_auc
from fairfm_core.evaluation.kernels.partition import partition_plan
from fairfm_core.evaluation.kernels.ranking import ranked
from fairfm_core.evaluation.metrics import MetricRequest
from fairfm_core.evaluation.operating_points import thresholds_on
from fairfm_core.evaluation.predictions import sample_of
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from fairfm_core.evaluation.tables import TABLES
from tests.fairfm_core.evaluation.cohorts import all_groups, cohort, group_values, patient_draws

ATTRIBUTES = ("sex", "race", "race x sex", "age", "site")
PATHOLOGIES = ("No Finding", "Pleural Effusion", "Edema")
ALL_METRICS = ("auc", "auprc", "rates", "brier", "ece", "calibration")
SETTINGS = EvaluationSettings()
site_cohort = partial(
    cohort,
    images=320,
    pathologies=PATHOLOGIES,
    decimals=8,
    unknown=0.1,
    missing=0.05,
    sites=12,
)
"""Unknown labels, unknown attributes, and twelve sites: more than one scan compares."""


def members(frame, groups, g):
    return np.flatnonzero(groups.code_N == g)


def written_out(labels, scores, weights, copies):
    """scikit-learn's AUC with every row repeated; NaN without both classes."""
    known = ~np.isnan(labels)
    rows = np.repeat(np.flatnonzero(known), copies[known])
    if len(np.unique(labels[rows])) < 2:
        return np.nan
    return roc_auc_score(labels[rows], scores[rows], sample_weight=weights[rows])


def assert_written_out(frame, values, groups, draws_BN, weights_BPN, counted_N=None):
    """Every replicate, pathology and group of one attribute against scikit-learn."""
    for b, copies_N in enumerate(draws_BN):
        for p, name in enumerate(PATHOLOGIES):
            for g, group in enumerate(groups.names):
                case_n = members(frame, groups, g)
                wanted = written_out(
                    frame[f"y_{name}"].to_numpy()[case_n],
                    frame[f"p_{name}"].to_numpy()[case_n],
                    weights_BPN[b, p, case_n],
                    copies_N[case_n] if copies_N.ndim == 1 else copies_N[p, case_n],
                )
                where = (b, name, groups.attribute, group)
                got = values["auc"][b, 0, p, g]
                assert got == pytest.approx(wanted, abs=1e-12, nan_ok=True), where


@pytest.mark.slow
@pytest.mark.parametrize("decimals", [8, 1])
@pytest.mark.parametrize("positives", [0.3, 0.8])
def test_every_group_equals_scikit_learn_on_the_expanded_sample(decimals, positives):
    frame = site_cohort(decimals=decimals, prevalence=positives)
    sample = sample_of([frame], "test", PATHOLOGIES)
    attributes = all_groups(frame, ATTRIBUTES)
    assert len(attributes[-1].names) > 8
    assert len(partition_plan(attributes, None).paired) > 1, (
        "an attribute with a partition of its own"
    )
    turned = ranked(sample.score_SPN[0, 0], sample.label_PN[0], np.arange(len(frame))).turned
    assert turned == (positives > 0.5), "classes are swapped where positives are frequent"
    draws = patient_draws(sample.patient_ids, 3, seed=1)
    weighting = PROTOCOLS["full"](sample.images, SETTINGS)
    found = group_values(sample, weighting, attributes, draws)
    once = np.ones((len(draws), len(PATHOLOGIES), len(frame)))
    for groups, values in zip(attributes, found, strict=True):
        assert_written_out(frame, values, groups, draws[:, sample.patient_N], once)


def test_images_without_a_value_are_in_cells_of_their_own():
    """Sex x race and those without a race: eight cells, which one scan serves together."""
    frame = site_cohort()
    frame["sex"] = frame["sex"].fillna("F")
    sample = sample_of([frame], "test", PATHOLOGIES)
    attributes = all_groups(frame, ("sex", "race"))
    plan = partition_plan(attributes, None)
    assert (len(plan.paired), plan.paired[0].cells) == (1, 8)
    draws = patient_draws(sample.patient_ids, 2, seed=1)
    weighting = PROTOCOLS["full"](sample.images, SETTINGS)
    found = group_values(sample, weighting, attributes, draws)
    once = np.ones((len(draws), len(PATHOLOGIES), len(frame)))
    for groups, values in zip(attributes, found, strict=True):
        assert_written_out(frame, values, groups, draws[:, sample.patient_N], once)


def test_constant_scores_are_worth_one_half_wherever_both_classes_are():
    frame = site_cohort()
    for name in PATHOLOGIES:
        frame[f"p_{name}"] = np.float32(0.25)
    sample = sample_of([frame], "test", PATHOLOGIES)
    attributes = all_groups(frame, ATTRIBUTES)
    draws = patient_draws(sample.patient_ids, 10, seed=0)
    weighting = PROTOCOLS["full"](sample.images, SETTINGS)
    found = group_values(sample, weighting, attributes, draws)
    for values in found[:3]:  # everybody, sex, race: no draw takes a class from them
        assert (values["auc"] == 0.5).all()
    small = found[-1]["auc"]
    assert ((small == 0.5) | np.isnan(small)).all()


def pair_auc(labels, scores, weights):
    """Every pair of a positive and a negative, one by one."""
    wins = total = 0
    for y, s, w in zip(labels, scores, weights, strict=True):
        for z, t, v in zip(labels, scores, weights, strict=True):
            if y == 1 and z == 0:
                total += 2 * w * v
                wins += w * v * (2 if s > t else 1 if s == t else 0)
    return wins / total if total else np.nan


rows_of_images = st.lists(
    st.tuples(
        st.integers(0, 4),  # patient
        st.integers(-1, 2),  # group; -1 for none
        st.sampled_from([0.0, 1.0, np.nan]),
        st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
@hypothesis_settings(deadline=None, max_examples=150)
@given(rows_of_images, st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), max_size=4))
def test_tiny_samples_equal_all_pairs(rows, draws):
    patient_N, code_N = (np.array([row[k] for row in rows], dtype=np.int64) for k in (0, 1))
    frame = pd.DataFrame(
        {
            "image_id": [f"{n:02d}" for n in range(len(rows))],
            "patient_id": patient_N.astype(str),
            "split": "test",
            "y_Edema": [row[2] for row in rows],
            "p_Edema": np.array([row[3] for row in rows], dtype=np.float32),
        }
    )
    sample = sample_of([frame], "test", ("Edema",))
    weights_BU = np.array(draws, dtype=np.uint16).reshape(-1, 5)
    attributes = [everybody(len(rows)), Groups("sex", ("a", "b", "c"), code_N)]
    weighting = PROTOCOLS["full"](sample.images, SETTINGS)
    found = group_values(sample, weighting, attributes, weights_BU, unit_N=patient_N)
    for groups, values in zip(attributes, found, strict=True):
        assert values["auc"].shape == (len(weights_BU), 1, 1, len(groups.names))
        for b, weight_U in enumerate(weights_BU.astype(int)):
            for g in range(len(groups.names)):
                case_n = np.flatnonzero(groups.code_N == g)
                columns = [frame[name].to_numpy()[case_n] for name in ("y_Edema", "p_Edema")]
                wanted = pair_auc(*columns, weight_U[patient_N[case_n]].tolist())
                got = values["auc"][b, 0, 0, g]
                assert got == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def balanced_by_hand(frame, name, copies_N):
    """Weight of each image: equal totals and equal prevalence in every race x sex; NaN if one of
    them lost a class. A copy is as heavy as its image."""
    known_N = frame[["race", "sex", f"y_{name}"]].notna().all(axis=1).to_numpy()
    label_N = frame[f"y_{name}"].to_numpy()
    weight_N = np.zeros(len(frame))
    cells = sorted({*zip(frame["race"][known_N], frame["sex"][known_N], strict=True)})
    for label in (0.0, 1.0):
        all_of_class = np.count_nonzero(known_N & (label_N == label))
        for race, sex in cells:
            mine_N = known_N & (frame["race"] == race) & (frame["sex"] == sex) & (label_N == label)
            held = copies_N[mine_N].sum()
            weight_N[mine_N] = all_of_class / len(cells) / held if held else np.nan
    return np.full(len(frame), np.nan) if np.isnan(weight_N).any() else weight_N


@pytest.mark.slow
def test_joint_attributes_and_ages_under_balanced_equal_scikit_learn():
    frame = site_cohort(images=500, seed=3)
    sample = sample_of([frame], "test", PATHOLOGIES)
    attributes = all_groups(frame, ("race x sex", "age", "sex x age", "site"))
    draws_BN = patient_draws(sample.patient_ids, 3, seed=2)[:, sample.patient_N]
    weighting = PROTOCOLS["balanced"](sample.images, SETTINGS)
    found = group_values(sample, weighting, attributes, draws_BN, unit_N=np.arange(len(frame)))
    weights_BPN = np.array(
        [[balanced_by_hand(frame, name, copies_N) for name in PATHOLOGIES] for copies_N in draws_BN]
    )
    assert np.isfinite(weights_BPN).all()
    copies_BPN = draws_BN[:, None] * (weights_BPN > 0)  # nobody without a race or a sex
    for groups, values in zip(attributes, found, strict=True):
        assert_written_out(frame, values, groups, copies_BPN, weights_BPN)


def test_a_replicate_in_which_a_cell_lost_a_class_is_undefined_under_balanced():
    frame = site_cohort(images=500, seed=3)
    sample = sample_of([frame], "test", PATHOLOGIES)
    cell_N = ((frame["race"] == "Black") & (frame["sex"] == "F")).to_numpy()
    weights_BN = np.ones((2, len(frame)), dtype=np.uint16)
    weights_BN[1, cell_N & (frame["y_Edema"] == 1)] = 0
    weighting = PROTOCOLS["balanced"](sample.images, SETTINGS)
    (values,) = group_values(
        sample,
        weighting,
        [everybody(len(frame))],
        weights_BN,
        unit_N=np.arange(len(frame)),
        request=MetricRequest(("auc", "auprc", "brier", "ece", "calibration")),
    )
    for value_BSPG in values.values():
        assert np.isfinite(value_BSPG[0]).all()
        assert np.isnan(value_BSPG[1, 0, 2]).all()


@pytest.mark.parametrize("protocol", ["resample", "glocker"])
def test_joint_attributes_and_ages_of_drawn_sets_equal_scikit_learn(protocol):
    frame = site_cohort(images=400, seed=4)
    sample = sample_of([frame], "test", PATHOLOGIES)
    attributes = all_groups(frame, ("race x sex", "age", "site"))
    draws_BN = patient_draws(sample.patient_ids, 2, seed=5)[:, sample.patient_N]
    weighting = PROTOCOLS[protocol](sample.images, SETTINGS)
    found = group_values(sample, weighting, attributes, draws_BN, unit_N=np.arange(len(frame)))
    drawn_PN = np.array([weighting.weights_N(p) for p in range(3)]).astype(int)
    assert drawn_PN.max() > 3
    copies_BPN = draws_BN[:, None].astype(int) * drawn_PN
    for groups, values in zip(attributes, found, strict=True):
        assert_written_out(frame, values, groups, copies_BPN, np.ones(copies_BPN.shape))


def every_value(frame, protocol, replicates=40):
    """All metrics of all groups in some replicates."""
    sample = sample_of([frame], "test", PATHOLOGIES)
    weights = patient_draws(sample.patient_ids, replicates, seed=0)
    thresholds = thresholds_on(sample, ("fpr=0.2", "f1"), len(PATHOLOGIES), 1)
    return group_values(
        sample,
        PROTOCOLS[protocol](sample.images, SETTINGS),
        all_groups(frame, ATTRIBUTES),
        weights,
        request=MetricRequest(ALL_METRICS, thresholds),
    )


def assert_same_values(one, other):
    for mine, theirs in zip(one, other, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value_BSPG in mine.items():
            np.testing.assert_array_equal(value_BSPG, theirs[name], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_blocks_and_the_width_of_accumulators_change_no_bit(protocol, monkeypatch):
    frame = site_cohort()
    whole = every_value(frame, protocol)
    assert np.isfinite(whole[0]["auc"]).mean() > 0.8
    monkeypatch.setattr(blocks, "BLOCK_SIZE", 7)
    assert_same_values(every_value(frame, protocol), whole)
    monkeypatch.setattr(pairwise_auc, "SMALL", 0)
    monkeypatch.setattr(group_auc, "SMALL", 0)
    assert_same_values(every_value(frame, protocol), whole)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("decimals", [1, 8])
def test_the_auc_has_the_same_bits_alone_and_with_the_auprc(protocol, decimals):
    frame = site_cohort(decimals=decimals)
    sample = sample_of([frame], "test", PATHOLOGIES)
    weights = patient_draws(sample.patient_ids, 20, seed=0)
    weighting = PROTOCOLS[protocol](sample.images, SETTINGS)
    data = sample, weighting, all_groups(frame, ATTRIBUTES), weights
    alone, both = (
        group_values(*data, request=MetricRequest(families))
        for families in (("auc",), ("auc", "auprc"))
    )
    for one, other in zip(alone, both, strict=True):
        np.testing.assert_array_equal(one["auc"], other["auc"])


def test_counts_above_255_are_kept():
    frame = site_cohort(images=60)
    sample = sample_of([frame], "test", PATHOLOGIES)
    attributes = all_groups(frame, ("sex",))
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, size=(3, len(sample.patient_ids))).astype(np.uint16)
    weights[:, ::5] *= 301
    weighting = PROTOCOLS["full"](sample.images, SETTINGS)
    found = group_values(sample, weighting, attributes, weights)
    once = np.ones((len(weights), len(PATHOLOGIES), len(frame)))
    for groups, values in zip(attributes, found, strict=True):
        assert_written_out(frame, values, groups, weights[:, sample.patient_N], once)


def test_more_pairs_than_32_bits_hold(monkeypatch):
    frame = site_cohort(images=40)
    sample = sample_of([frame], "test", PATHOLOGIES)
    attributes = [everybody(len(frame))]
    weights = np.random.default_rng(0).integers(30_000, 60_000, size=(2, len(sample.patient_ids)))
    weighting = PROTOCOLS["full"](sample.images, SETTINGS)

    def aucs():
        return group_values(sample, weighting, attributes, weights)[0]["auc"][:, 0, :, 0]

    known_PN = ~np.isnan(sample.label_PN)
    wanted = [
        [
            roc_auc_score(label_N[known_N], score_N[known_N], sample_weight=weight_N[known_N])
            for label_N, score_N, known_N in zip(
                sample.label_PN, sample.score_SPN[0], known_PN, strict=True
            )
        ]
        for weight_N in weights[:, sample.patient_N]
    ]
    np.testing.assert_allclose(aucs(), wanted, rtol=0, atol=1e-12)
    monkeypatch.setattr(pairwise_auc, "SMALL", 10**12)  # then 32 bits are too few
    assert np.abs(aucs() - wanted).max() > 0.01


TABLES_OF_A_PROCESS = """
import sys
from pathlib import Path

import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.evaluate import evaluate, write_evaluation
from fairfm_core.evaluation.predictions import Predictions

out = Path(sys.argv[1])
predictions = Predictions(pd.read_parquet(out.parent / "predictions.parquet"))
for intervals in ("bootstrap", "delong"):
    settings = EvaluationSettings(
        protocols=("full", "balanced", "resample"),
        attributes=("race", "age"),
        replicates=96,
        intervals=intervals,
    )
    write_evaluation(evaluate(predictions, settings), out / intervals)
"""


@pytest.fixture(scope="module")
def tables_of(tmp_path_factory):
    """Folders of the tables made on one thread and on two."""
    folder = tmp_path_factory.mktemp("threads")
    frame = site_cohort(images=3000, seed=6)
    # Scores of 0 and 1: fits of the calibration in which plain Newton steps stray.
    frame["p_Edema"] = np.where(frame["p_Edema"] > 0.7, 1.0, frame["p_Edema"]).astype(np.float32)
    frame["split"] = np.where(frame["image_id"] < "test-01000", "val", "test")
    frame.to_parquet(folder / "predictions.parquet")
    for threads in ("1", "2"):
        variables = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        subprocess.run(
            [sys.executable, "-c", TABLES_OF_A_PROCESS, str(folder / threads)],
            env=os.environ | dict.fromkeys(variables, threads),
            check=True,
        )
    return folder / "1", folder / "2"


@pytest.mark.slow
@pytest.mark.parametrize("table", list(TABLES))
@pytest.mark.parametrize("intervals", ["bootstrap", "delong"])
def test_tables_are_the_same_on_one_thread_and_on_two(tables_of, intervals, table):
    one, two = (pd.read_parquet(each / intervals / TABLES[table].file) for each in tables_of)
    assert len(one)
    pd.testing.assert_frame_equal(one, two, check_exact=True)
