"""Pre-training learns: a linear probe sees more in its features than in those of random weights.

Everything runs as in a study: pre-training on other phantom patients, features, probe, evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from fairfm_core.artifacts import open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.trial import Trial
from fairfm_core.data.corpora.corpus import open_corpora, pretraining_corpus
from fairfm_core.data.dataset import open_dataset
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.evaluation.selection.replicates import Replicated, check_paired, replicated
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.running import run_stage
from fairfm_core.stages import stages_of

pytestmark = pytest.mark.slow

SETTINGS = EvaluationSettings(attributes=("sex",), metrics=("auc",), replicates=500)


class World(NamedTuple):
    """Patients that a probe is judged on, and others to pre-train on."""

    judged: Path
    corpus: Path


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As a study on a CPU has it: a network so small gains nothing from a second one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("worlds")
    made = World(folder / "judged", folder / "corpus")
    prepare("phantom", "unfair", made.judged, 32, patients=1500, fractions=(0.5, 0.1, 0.4))
    prepare("phantom", "skewed", made.corpus, 32, patients=1000)
    return made


def probed(world: World, results: Path, weights: dict[str, Any] | str) -> Replicated:
    """Mean test AUC of a linear probe on a network from these weights, in draws of patients."""
    trial = Trial.model_validate(
        {
            "weights": weights,
            "backbone": {
                "name": "vit_tiny_patch16_224",
                "image_size": 32,
                "channels": 1,
                "options": {"patch_size": 8, "embed_dim": 96, "depth": 4, "num_heads": 3},
            },
            "adaptation": {"method": "linear_probe", "recipe": "smoke", "epochs": 90, "lr": 0.1},
            "data": {"dataset": str(world.judged)},
        }
    )
    if trial.pretraining is not None:
        found = pretraining_corpus(open_corpora(trial.pretraining.corpora), {})
        planned = trial.pretraining.model_copy(update={"digest": found.digest})
        trial = trial.model_copy(update={"pretraining": planned})
    data = open_dataset(world.judged)
    store = open_store(str(results))
    stages = stages_of(trial, data.digest, data.pathologies, SETTINGS)
    for stage in stages:
        run_stage(stage, store, lambda row: None)
    evaluation = stored_evaluation(store, "evaluate", stages[-1].fingerprint)
    return replicated([evaluation], "the probe")["full", "test", "auc"]


@pytest.fixture(scope="module")
def random_features(world: World, tmp_path_factory: pytest.TempPathFactory) -> Replicated:
    return probed(world, tmp_path_factory.mktemp("random"), "scratch")


@pytest.mark.parametrize(("method", "epochs"), [("mae", 5), ("mocov3", 4)])
def test_a_probe_sees_more_than_in_random_features(
    world: World, random_features: Replicated, tmp_path: Path, method: str, epochs: int
) -> None:
    """The same patients in each draw: the gain is above 0 in 97.5 % of them."""
    recipe = {"method": method, "recipe": "smoke", "epochs": epochs}
    found = probed(world, tmp_path, {"pretraining": recipe | {"corpora": [str(world.corpus)]}})
    check_paired(found, random_features, ("AUC", "AUC"))
    gain_B = (found.replicate_BS - random_features.replicate_BS)[:, 0]
    assert np.quantile(gain_B, 0.025) > 0
