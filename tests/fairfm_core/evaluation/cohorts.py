"""Made-up predictions whose truth is known, and short ways into the evaluation for the tests.

One builder, `cohort`, serves every test of the evaluation: what a test needs beside it, it changes
in the table that it gets.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.groups import everybody, groups_of
from fairfm_core.evaluation.metrics import MetricRequest
from fairfm_core.evaluation.predictions import Predictions, sample_of
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from fairfm_core.evaluation.protocols.weighting import unweighted
from fairfm_core.evaluation.resampling.bootstrap import unit_draws
from fairfm_core.evaluation.resampling.delong import influences
from fairfm_core.evaluation.resampling.replicate_values import bootstrap_values

AUC_ONLY = MetricRequest()
EDGES = (40.0, 60.0, 80.0)


def cohort(
    images=200,
    split="test",
    seed=0,
    pathologies=("Edema", "Fracture"),
    harm=0.0,
    model=0,
    *,
    per_patient=2,
    races=(0.2, 0.3, 0.5),
    prevalence=0.4,
    decimals=None,
    unknown=0.05,
    missing=0.0,
    sites=0,
    patient_effect=0.0,
):
    """About `per_patient` images a patient, scored by a model whose signal is known.

    `harm` lowers the signal of the group race=Black, `model` draws other noise for the same images,
    `decimals` rounds scores so that some are tied, `unknown` is the share of labels that are null,
    `missing` that of attributes that are, `races` the shares of Asian, Black and White patients,
    `sites` the number of sites, and `patient_effect` what the labels and the scores of a patient's
    images have in common, in standard deviations of the scores.
    """
    rng = np.random.default_rng(seed)
    patients = max(1, images // per_patient)
    patient = rng.integers(patients, size=images)
    sex = rng.choice(["F", "M"], size=patients)
    race = rng.choice(["Asian", "Black", "White"], p=races, size=patients)
    columns = {
        "image_id": [f"{split}-{i:05d}" for i in range(images)],
        "patient_id": [f"{split}-p{p:04d}" for p in patient],
        "split": split,
        "sex": sex[patient],
        "race": race[patient],
        "age": rng.uniform(20, 95, size=images),
    }
    noise = np.random.default_rng([seed, model])
    for name in pathologies:
        label = (rng.random(images) < prevalence).astype(float)
        if patient_effect:
            illness = rng.normal(size=patients)[patient] + rng.normal(size=images)
            label = (illness > np.quantile(illness, 1 - prevalence)).astype(float)
        signal = np.where(race[patient] == "Black", 1.2 - harm, 1.2) * label
        logit = signal + noise.normal(size=images)
        if patient_effect:
            logit += patient_effect * noise.normal(size=patients)[patient]
        score = 1 / (1 + np.exp(-logit))
        label[rng.random(images) < unknown] = np.nan
        columns[f"y_{name}"] = label
        columns[f"p_{name}"] = score.astype(np.float32)
        if decimals is not None:
            columns[f"p_{name}"] = score.round(decimals).astype(np.float32)
    frame = pd.DataFrame(columns)
    more = np.random.default_rng([seed, 1, images])
    if sites:
        frame["site"] = [f"site {s:02d}" for s in more.integers(sites, size=patients)[patient]]
    if missing:
        for name in ("sex", "race", "age", *(["site"] if sites else [])):
            frame[name] = frame[name].mask(more.random(images) < missing)
    return frame


def unequal_races(images=2000, seed=0):
    """Race groups differ in size, age and disease."""
    rng = np.random.default_rng([seed, 2])
    frame = cohort(images, seed=seed, races=(0.2, 0.1, 0.7), pathologies=(), decimals=8)
    black = (frame["race"] == "Black").to_numpy()
    effusion = rng.random(images) < np.where(black, 0.25, 0.45)
    labels = {
        "No Finding": ~effusion & (rng.random(images) < 0.2),
        "Pleural Effusion": effusion,
        "Edema": rng.random(images) < np.where(black, 0.5, 0.2),
    }
    frame["age"] = np.clip(rng.normal(np.where(black, 50, 65), 15), 18, 90).round()
    for name, label in labels.items():
        frame[f"y_{name}"] = label.astype(float)
        frame[f"p_{name}"] = 1 / (1 + np.exp(-(label + rng.normal(size=images))))
    return frame


def pick(frame, **where):
    """The one row with these values."""
    for name, value in where.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, where
    return frame.iloc[0]


def all_groups(frame, attributes, edges=EDGES):
    """Everybody, then the groups of each attribute."""
    return [everybody(len(frame)), *(groups_of(frame, name, edges) for name in attributes)]


def patient_draws(patient_ids, replicates, seed):
    """How often each patient is drawn in each replicate, [replicates, patients]."""
    return unit_draws(len(patient_ids), replicates, seed)


def group_values(sample, weighting, attributes, weights_BU, unit_N=None, request=AUC_ONLY):
    """The metrics of each attribute's groups when unit u has the weight `weights_BU[:, u]`.

    Units are patients unless `unit_N` says otherwise.
    """
    unit_N = sample.patient_N if unit_N is None else unit_N
    problem = Problem(sample, weighting, request, EvaluationSettings())
    return bootstrap_values(problem, attributes, weights_BU, unit_N)


def cell_aucs(sample, weighting, groups, weights_BQ):
    """AUC of every pathology and group when patients have these weights, [B, S, P, G]."""
    (values,) = group_values(sample, weighting, [groups], weights_BQ)
    return values["auc"]


def aucs_of(frame, attribute, kind, count):
    """AUCs [.., P, G] of the replicates, or of the table itself (`data`)."""
    sample = sample_of([frame], "test", ("Edema", "Fracture"))
    groups = everybody(len(frame))
    if attribute != "overall":
        groups = groups_of(frame, attribute, (40,))
    weights = np.ones((1, len(sample.patient_ids)), dtype=np.uint16)
    if kind != "data":
        weights = patient_draws(sample.patient_ids, count, seed=0)
    return cell_aucs(sample, unweighted(sample.images), groups, weights)[:, 0]


def patients_by_class(frame, attribute, pathologies=("Edema", "Fracture")):
    """Patients with negatives and with positives of every cell, [P, G, 2], by pandas."""
    names = ["all"] if attribute == "overall" else sorted(frame[attribute].unique())
    table = []
    for pathology in pathologies:
        row = []
        for name in names:
            of = frame if attribute == "overall" else frame[frame[attribute] == name]
            label = of[f"y_{pathology}"]
            row.append([of.loc[label == c, "patient_id"].nunique() for c in (0, 1)])
        table.append(row)
    return table


def auc_variance_by_loop(auc, positives, negatives):
    """Hanley and McNeil (1982), as their equation 2 writes it."""
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    top = auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)
    return top / (positives * negatives)


def fair_aucs_by_loops(value_PG, replicate_BPG, patients_PG2):
    """What the groups of a fair model deviate by in every draw, [B, P, G], cell by cell."""
    fair_BPG = np.empty(np.shape(replicate_BPG))
    for p, patients_G2 in enumerate(patients_PG2):
        weights = [1 / (1 / n + 1 / m) for n, m in patients_G2]
        common = sum(w * v for w, v in zip(weights, value_PG[p], strict=True)) / sum(weights)
        for g, (negatives, positives) in enumerate(patients_G2):
            own, at_common = (
                auc_variance_by_loop(value, positives, negatives)
                for value in (value_PG[p][g], common)
            )
            few = min(negatives, positives)
            factor = (few / (few - 1)) ** 0.5 * (at_common / own) ** 0.5
            for b in range(len(replicate_BPG)):
                fair_BPG[b, p, g] = factor * (replicate_BPG[b][p][g] - value_PG[p][g])
    return fair_BPG


def fair_everybody_by_loops(whole_P, whole_BP, value_PG, replicate_BPG, patients_PG2):
    """What everybody deviates by where the groups deviate as those of a fair model, [B, P]."""
    fair_BPG = fair_aucs_by_loops(value_PG, replicate_BPG, patients_PG2)
    moved_BP = np.empty(np.shape(whole_BP))
    for b, p in np.ndindex(moved_BP.shape):
        weights = [1 / (1 / n + 1 / m) for n, m in patients_PG2[p]]
        moved_BP[b, p] = whole_BP[b][p] - whole_P[p]
        for g, weight in enumerate(weights):
            plain = replicate_BPG[b][p][g] - value_PG[p][g]
            moved_BP[b, p] += weight / sum(weights) * (fair_BPG[b, p, g] - plain)
    return moved_BP


def val_and_test(make_frame, images=400, **changes):
    return [Predictions(make_frame(images, split, **changes)) for split in ("val", "test")]


def image_weights(frame, protocol, settings):
    """Weights [P, N] of the images of one split, in the order of the rows of `frame`."""
    order_N = np.argsort(frame["image_id"].astype(str).to_numpy(dtype=object))
    ordered = frame.iloc[order_N].reset_index(drop=True)
    names = tuple(str(name)[2:] for name in frame.columns if str(name).startswith("y_"))
    sample = sample_of([ordered], ordered["split"].iloc[0], names)
    weighting = PROTOCOLS[protocol](sample.images, settings)
    weights_PN = np.empty((len(names), len(frame)))
    for p in range(len(names)):
        weights_PN[p, order_N] = weighting.weights_N(p)
    return weights_PN


def delong_influences(sample, weighting, attributes):
    """For each attribute its AUCs [S, P, G] and the patients' influences on them, [U, S, P, G]."""
    problem = Problem(sample, weighting, AUC_ONLY, EvaluationSettings())
    return influences(problem, attributes, sample.patient_N)


def covariance(influence_UM):
    """Covariance [M, M] of M AUCs from the units' influences on them, as the textbook writes it."""
    units = len(influence_UM)
    return units / (units - 1) * (influence_UM.T @ influence_UM)
