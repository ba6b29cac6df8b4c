"""DeLong with patients as clusters: the textbook's loops, and the same answers as the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.disaggregated.gaps import gap_of_mean
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.predictions import Predictions, sample_of
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from fairfm_core.evaluation.resampling.bootstrap import percentile_interval
from fairfm_core.evaluation.resampling.delong import normal_replicates
from tests.fairfm_core.evaluation.cohorts import (
    cohort,
    covariance,
    delong_influences,
    group_values,
    image_weights,
    patient_draws,
)

SETTINGS = EvaluationSettings()
ATTRIBUTES = ("sex", "race", "race x sex")


def clustered(patients, images=3, pathologies=1, **changes):
    """Labels and scores of a patient's images are alike; race shares about CheXpert's."""
    names = tuple(f"P{p}" for p in range(pathologies))
    of_patient = {"per_patient": images, "races": (0.15, 0.1, 0.75), "patient_effect": 0.7}
    return cohort(images * patients, pathologies=names, **of_patient, **changes)


def sampled(frame):
    pathologies = tuple(name[2:] for name in frame if name.startswith("y_"))
    sample = sample_of([frame], "test", pathologies)
    groups = [everybody(len(frame)), *(groups_of(frame, name, (40,)) for name in ATTRIBUTES)]
    return sample, groups


def by_loops(frame, member_N):
    """AUC and every patient's influence on it, from all pairs of a positive and a negative."""
    rows = frame[member_N & frame["y_P0"].notna().to_numpy()]
    ill, healthy = (rows[rows["y_P0"] == label] for label in (1, 0))

    def win(positive, negative):
        return 1.0 if positive > negative else 0.5 if positive == negative else 0.0

    above = [[win(s, t) for t in healthy["p_P0"]] for s in ill["p_P0"]]
    auc = sum(map(sum, above)) / (len(ill) * len(healthy))
    influence = dict.fromkeys(sorted(set(frame["patient_id"])), 0.0)
    for i, patient in enumerate(ill["patient_id"]):
        placement = sum(above[i]) / len(healthy)
        influence[patient] += (placement - auc) / len(ill)
    for j, patient in enumerate(healthy["patient_id"]):
        placement = sum(row[j] for row in above) / len(ill)
        influence[patient] += (placement - auc) / len(healthy)
    return auc, np.array(list(influence.values()))


@pytest.mark.parametrize("decimals", [8, 1])
def test_influences_and_covariance_are_the_textbooks(decimals):
    frame = clustered(150, decimals=decimals)
    sample, attributes = sampled(frame)
    found = delong_influences(sample, PROTOCOLS["full"](sample.images, SETTINGS), attributes)
    columns, wanted = [], []
    for groups, (auc_SPG, influence_USPG) in zip(attributes, found, strict=True):
        for g, name in enumerate(groups.names):
            auc, influence_U = by_loops(frame, groups.code_N == g)
            assert auc_SPG[0, 0, g] == pytest.approx(auc, abs=1e-12), name
            np.testing.assert_allclose(influence_USPG[:, 0, 0, g], influence_U, atol=1e-12)
            assert influence_USPG[:, 0, 0, g].sum() == pytest.approx(0, abs=1e-12)
            columns.append(influence_USPG[:, 0, 0, g])
            wanted.append(influence_U)
    assert len(columns) == 12
    units = len(sample.patient_ids)
    matrix = [
        [units / (units - 1) * sum(a * b for a, b in zip(one, two, strict=True)) for two in wanted]
        for one in wanted
    ]
    np.testing.assert_allclose(covariance(np.stack(columns, axis=1)), matrix, atol=1e-14)


def test_with_one_image_a_patient_it_is_plain_delong():
    frame = clustered(400).drop_duplicates("patient_id").reset_index(drop=True)
    sample, attributes = sampled(frame)
    ((_, influence_USPG), *_) = delong_influences(
        sample, PROTOCOLS["full"](sample.images, SETTINGS), attributes
    )
    got = covariance(influence_USPG[:, 0, 0])[0, 0]
    rows = frame.dropna(subset="y_P0")
    ill, healthy = (rows.loc[rows["y_P0"] == label, "p_P0"].to_numpy() for label in (1, 0))
    wins = (ill[:, None] > healthy) + 0.5 * (ill[:, None] == healthy)
    placed_ill, placed_healthy = wins.mean(axis=1), wins.mean(axis=0)
    # The cluster form divides by the patients less one in all, DeLong's by each class less one.
    patients, n1, n0 = len(frame), len(ill), len(healthy)
    wanted = placed_ill.var() / n1 + placed_healthy.var() / n0
    assert got == pytest.approx(patients / (patients - 1) * wanted, rel=1e-12)
    plain = placed_ill.var(ddof=1) / n1 + placed_healthy.var(ddof=1) / n0
    assert got == pytest.approx(plain, rel=1.5 / min(n1, n0))


def test_multiplicities_count_as_copies_of_the_same_patient():
    frame = clustered(150)
    sample, attributes = sampled(frame)
    weighting = PROTOCOLS["resample"](sample.images, SETTINGS)
    copies = weighting.weights_N(0).astype(int)
    assert copies.max() > 1
    expanded = frame.loc[np.repeat(frame.index, copies)].reset_index(drop=True)
    seen = np.isin(sample.patient_ids, expanded["patient_id"].unique())
    found = delong_influences(sample, weighting, attributes)
    for groups, (auc_SPG, influence_USPG) in zip(attributes, found, strict=True):
        for g in range(len(groups.names)):
            auc, influence_U = by_loops(expanded, np.repeat(groups.code_N == g, copies))
            assert auc_SPG[0, 0, g] == pytest.approx(auc, abs=1e-12)
            np.testing.assert_allclose(influence_USPG[seen, 0, 0, g], influence_U, atol=1e-12)
            assert (influence_USPG[~seen, 0, 0, g] == 0).all()


def balanced_auc(frame, member_N, weight_N):
    """scikit-learn's AUC when patients weigh `weight_N` and every race x sex is made alike."""
    rows = frame.assign(w=weight_N).dropna(subset="y_P0")
    rows["w"] /= rows.groupby(["race", "sex", "y_P0"])["w"].transform("sum")
    rows = rows[member_N[rows.index]]
    return roc_auc_score(rows["y_P0"], rows["p_P0"], sample_weight=rows["w"])


@pytest.mark.slow
def test_under_balanced_an_influence_is_the_change_when_a_patient_weighs_more():
    frame = clustered(300, seed=2)
    sample, attributes = sampled(frame)
    found = delong_influences(sample, PROTOCOLS["balanced"](sample.images, SETTINGS), attributes)
    step = 1e-5
    for u in (0, 7, 150):
        nudge_N = step * (sample.patient_N == u)
        for groups, (auc_SPG, influence_USPG) in zip(attributes, found, strict=True):
            for g in range(len(groups.names)):
                member_N = groups.code_N == g
                more, less = (balanced_auc(frame, member_N, 1 + s * nudge_N) for s in (1, -1))
                assert auc_SPG[0, 0, g] == pytest.approx((more + less) / 2, abs=1e-8)
                change = (more - less) / (2 * step)
                assert influence_USPG[u, 0, 0, g] == pytest.approx(change, abs=1e-8)


def test_a_group_without_a_class_is_undefined_and_one_without_a_patient_too():
    frame = clustered(60)
    sample, _ = sampled(frame)
    code_N = np.where(sample.patient_N < 10, 0, 1)
    frame.loc[code_N == 0, "y_P0"] = 0.0
    sample, _ = sampled(frame)
    groups = Groups("site", ("one class", "both", "nobody"), code_N)
    ((auc_SPG, influence_USPG),) = delong_influences(
        sample, PROTOCOLS["full"](sample.images, SETTINGS), [groups]
    )
    assert np.isnan(auc_SPG[0, 0]).tolist() == [True, False, True]
    assert np.isnan(influence_USPG[:, 0, 0]).all(axis=0).tolist() == [True, False, True]
    assert np.isfinite(influence_USPG[:, 0, 0, 1]).all()


def standard_errors(frame, protocol, replicates=2000):
    """Of 12 groups, by DeLong and by the patient bootstrap; [P, 12] each."""
    sample, attributes = sampled(frame)
    weighting = PROTOCOLS[protocol](sample.images, SETTINGS)
    draws = patient_draws(sample.patient_ids, replicates, seed=3)
    bootstrap = group_values(sample, weighting, attributes, draws)
    analytic = delong_influences(sample, weighting, attributes)
    drawn_BPG = np.concatenate([values["auc"][:, 0] for values in bootstrap], axis=-1)
    influence_UPG = np.concatenate([each[:, 0] for _, each in analytic], axis=-1)
    units, *shape = influence_UPG.shape
    variance = np.diag(covariance(influence_UPG.reshape(units, -1))).reshape(shape)
    return np.sqrt(variance), np.nanstd(drawn_BPG, axis=0, ddof=1)


@pytest.mark.parametrize("protocol", ["full", "balanced", "resample"])
def test_standard_errors_of_12_groups_are_those_of_the_bootstrap(protocol):
    """Within 3 %, pooled over six pathologies: one alone has the noise of 2,000 draws."""
    delong_PG, bootstrap_PG = standard_errors(clustered(2500, seed=4, pathologies=6), protocol)
    assert delong_PG.shape == (6, 12)
    ratio_G = np.sqrt((delong_PG**2).mean(axis=0) / (bootstrap_PG**2).mean(axis=0))
    assert np.abs(ratio_G - 1).max() < 0.03
    assert bootstrap_PG.max() > 3 * bootstrap_PG.min()


def test_plain_delong_is_too_sure_where_patients_have_several_images():
    frame = clustered(2500, seed=4)
    by_patient, bootstrap = standard_errors(frame, "full")
    alone = frame.assign(patient_id=frame["image_id"])
    plain, _ = standard_errors(alone, "full", replicates=2)
    assert plain[0, 0] < 0.9 * by_patient[0, 0]
    assert plain[0, 0] < 0.9 * bootstrap[0, 0]


def test_normal_draws_have_delongs_covariance_and_are_paired():
    frame = clustered(300)
    sample, attributes = sampled(frame)
    weighting = PROTOCOLS["full"](sample.images, SETTINGS)
    found = delong_influences(sample, weighting, attributes[:3])
    flat_UM = np.concatenate([each[:, 0, 0] for _, each in found], axis=-1)
    drawn_BM = normal_replicates(flat_UM, 20_000, seed=0)
    scale = np.sqrt(np.diag(covariance(flat_UM)))
    assert np.abs(drawn_BM.mean(axis=0) / scale).max() < 0.03
    wanted = covariance(flat_UM) / np.outer(scale, scale)
    np.testing.assert_allclose(np.cov(drawn_BM.T) / np.outer(scale, scale), wanted, atol=0.04)
    # Each model's draws are the same alone as beside others: two models' may be subtracted.
    np.testing.assert_allclose(
        normal_replicates(flat_UM[:, :1], 50, seed=0), normal_replicates(flat_UM, 50, seed=0)[:, :1]
    )
    assert not np.allclose(normal_replicates(flat_UM, 50, 0), normal_replicates(flat_UM, 50, 1))


def test_the_interval_of_a_gap_is_that_of_the_bootstrap():
    """Ends within 10 % of the width, for a maximum less a minimum of three groups and of six."""
    frame = clustered(2500, seed=4, pathologies=3)
    sample, attributes = sampled(frame)
    weighting = PROTOCOLS["full"](sample.images, SETTINGS)
    draws = patient_draws(sample.patient_ids, 2000, seed=3)
    bootstrap = group_values(sample, weighting, attributes[2:], draws)
    analytic = delong_influences(sample, weighting, attributes[2:])
    for values, (auc_SPG, influence_USPG) in zip(bootstrap, analytic, strict=True):
        units = len(influence_USPG)
        drawn_BM = normal_replicates(influence_USPG.reshape(units, -1), 2000, seed=3)
        drawn_BSPG = auc_SPG + drawn_BM.reshape(2000, *auc_SPG.shape)
        wanted, got = (
            percentile_interval(gap_of_mean(each)[:, 0], 0.95)
            for each in (values["auc"], drawn_BSPG)
        )
        assert got.lo == pytest.approx(wanted.lo, abs=0.1 * (wanted.hi - wanted.lo))
        assert got.hi == pytest.approx(wanted.hi, abs=0.1 * (wanted.hi - wanted.lo))


def test_delong_intervals_from_end_to_end():
    frame = clustered(1200, seed=5, pathologies=2)
    settings = EvaluationSettings(replicates=1000, metrics=("auc", "brier"))
    delong, bootstrap = (
        evaluate(Predictions(frame), settings.model_copy(update={"intervals": kind}))
        for kind in ("delong", "bootstrap")
    )
    for table, key in (
        ("metrics", ["pathology", "attribute", "group", "metric"]),
        ("gaps", ["metric", "attribute", "definition"]),
        ("differences", ["pathology", "attribute", "group", "reference", "metric"]),
    ):
        mine, theirs = (
            getattr(each, table).set_index(key).sort_index() for each in (delong, bootstrap)
        )
        np.testing.assert_allclose(mine["value"], theirs["value"], rtol=0, atol=1e-10)
        of_auc = mine.index.get_level_values("metric").str.contains("auc")
        mine, theirs = (each[["lo", "hi", "reason"]] for each in (mine, theirs))
        width = (theirs["hi"] - theirs["lo"])[of_auc]
        for end in ("lo", "hi"):
            assert ((mine[end] - theirs[end])[of_auc].abs() < 0.2 * width).all(), table
        # Other metrics have none, and say so.
        assert mine[~of_auc][["lo", "hi"]].isna().all(axis=None)
        assert mine[~of_auc]["reason"].str.contains("no interval").all()
    replicates = delong.replicates.set_index("name")["replicates"]
    assert len(replicates["auc"]) == 1000
    assert len(replicates["gap_race"]) == 1000
    paired = delong.replicates["pairing"].unique()
    assert len(paired) == 1
    assert paired[0] not in set(bootstrap.replicates["pairing"])


def test_rows_of_a_drawn_set_are_no_people():
    """A set drawn with replacement, bootstrapped row by row: copies are taken for people."""
    frame = clustered(3000, seed=6, images=2)
    settings = EvaluationSettings(protocols=("resample",), replicates=400, metrics=("auc",))
    patients = evaluate(Predictions(frame), settings)
    copies = image_weights(frame, "resample", settings)[0].astype(int)
    drawn = frame.loc[np.repeat(frame.index, copies)].reset_index(drop=True)
    drawn["image_id"] = [f"{n:06d}" for n in drawn.index]
    naive = evaluate(
        Predictions(drawn),
        settings.model_copy(update={"protocols": ("full",), "resampling": "images"}),
    )

    def width(result, group):
        cells = result.metrics[result.metrics["pathology"] == "P0"].set_index("group")
        return cells.loc[group, "hi"] - cells.loc[group, "lo"]

    def value(result, group):
        return result.metrics.set_index(["pathology", "group"]).loc[("P0", group), "value"]

    for group, most in (("all", 0.6), ("White", 0.8), ("Black", 0.6)):
        assert value(naive, group) == pytest.approx(value(patients, group), abs=1e-12)
        assert width(naive, group) < most * width(patients, group), group


def test_under_balanced_weights_a_group_that_cuts_cells_has_no_delong_interval():
    """Which share of a balanced cell falls to an age group is random, and not in the covariance."""
    frame = clustered(400).assign(
        age=np.random.default_rng(1).uniform(20, 90, size=len(clustered(400)))
    )
    settings = EvaluationSettings(
        protocols=("balanced",), intervals="delong", attributes=("race", "age"), metrics=("auc",),
    )  # fmt: skip
    found = evaluate(Predictions(frame), settings)
    metrics = found.metrics[found.metrics["metric"] == "auc"].set_index("attribute")
    assert metrics.loc[["race", "overall"], "lo"].notna().all()
    assert metrics.loc["age", "lo"].isna().all()
    assert metrics.loc["age", "reason"].str.contains("only for balanced attributes").all()
    gaps = found.gaps.set_index("attribute")
    assert gaps.loc["age", "lo"].isna().all()
    assert found.differences.loc[found.differences["attribute"] == "age", "lo"].isna().all()
