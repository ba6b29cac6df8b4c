"""Encoding against the gap: scores and features against scikit-learn, gaps against the tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from analysis.figures.encoding.figure import encoding
from analysis.figures.made import FigureOptions
from analysis.paper.answers import PaperRequest
from analysis.paper.items import fine_tuned
from analysis.paper.outputs import open_answers
from fairfm_core.artifacts import open_store
from fairfm_core.data.cohort import write_cohort
from fairfm_core.errors import BadInput
from fairfm_core.storage.layout import claim_results

from ..paper.paper_folder import PATHOLOGIES, all_models, identity, trial_frames, write_study


def expected_auc(inputs: dict[str, np.ndarray], frames: dict[str, pd.DataFrame]) -> float:
    """Of Black patients against all others."""
    mean, spread = inputs["val"].mean(axis=0), inputs["val"].std(axis=0)
    member = {name: frame["race"] == "Black" for name, frame in frames.items()}
    probe = LogisticRegression(tol=1e-10, max_iter=1000)
    probe.fit((inputs["val"] - mean) / spread, member["val"])
    return roc_auc_score(member["test"], probe.decision_function((inputs["test"] - mean) / spread))


def test_scores_and_gaps_are_those_of_plain_computations(paper_results: Path) -> None:
    answers = open_answers(str(paper_results), PaperRequest())
    made = encoding(answers, FigureOptions())
    row = made.data.set_index(["label", "attribute", "group"]).loc[("mae_med", "race", "Black")]
    aucs = []
    for seed in (0, 1):
        frames = trial_frames("mae_med", seed)
        scores = {
            name: np.log(p / (1 - p))
            for name, frame in frames.items()
            if (p := frame[[f"p_{n}" for n in PATHOLOGIES]].to_numpy("float32").astype(float)).size
        }
        aucs.append(expected_auc(scores, frames))
    assert row["encoding"] == pytest.approx(np.mean(aucs), abs=1e-5)
    assert row["lo"] < row["encoding"] < row["hi"]
    mean = made.data[(made.data["group"] == "mean") & (made.data["label"] == "mae_med")]
    answer = answers.answer(fine_tuned("MAE (M)"))
    assert answer is not None
    gaps = answer.evaluation.gaps
    gaps = gaps[(gaps["split"] == "test") & (gaps["metric"] == "auc")]
    own = gaps[gaps["definition"] == "gap_of_mean"].set_index("attribute")["value"]
    assert dict(zip(mean["attribute"], mean["gap"], strict=True)) == pytest.approx(own.to_dict())
    assert set(made.data["probed"]) == {"scores"}
    assert len(made.draw().axes) == 2


def with_features(of: Path, folder: Path) -> Path:
    """Results with one linear probe, whose features tell race, and the folder of its data."""
    store = open_store(str(folder / "results"))
    claim_results(store)
    for kind in ("adapt", "evaluate"):
        shutil.copytree(of / kind, folder / "results" / kind)
    write_study(store, {"mae/probe": all_models()["mae/probe"]}, seeds=(0,))
    record = store.read_json("studies", "paper", "study.json")
    record["trials"][0]["features"] = identity("features", "mae")
    store.write_json(record, "studies", "paper", "study.json")
    frames = trial_frames("mae/probe", 0)
    random = np.random.default_rng(5)
    rows = []
    with store.publish("features", identity("features", "mae"), {}) as made:
        for name, frame in frames.items():
            shuffled = frame.sample(frac=1, random_state=3)
            told = (shuffled["race"] == "Black").to_numpy()[:, None]
            np.save(made / f"{name}.npy", told + random.normal(size=(len(frame), 4)))
            rows.append(shuffled)
    cohort = pd.concat(rows, ignore_index=True).assign(age=50.0)
    cohort = cohort.drop(columns=[f"p_{name}" for name in PATHOLOGIES])
    write_cohort(cohort.assign(row=range(len(cohort))), folder / "cohort.parquet")
    return folder


def test_features_are_those_of_the_images_of_the_cohort(
    paper_results: Path, tmp_path: Path
) -> None:
    folder = with_features(paper_results, tmp_path)
    answers = open_answers(str(folder / "results"), PaperRequest())
    data = encoding(answers, FigureOptions(data=str(folder))).data
    own = data[data["attribute"] == "race"].set_index(["probed", "group"])["encoding"]
    assert own["features", "Black"] > 0.85
    assert own["features", "Black"] > own["scores", "Black"] + 0.1
    cohort = pd.read_parquet(folder / "cohort.parquet").iloc[1:]
    write_cohort(cohort, folder / "cohort.parquet")
    with pytest.raises(BadInput, match="is not the data of these features"):
        encoding(answers, FigureOptions(data=str(folder) + "/"))
