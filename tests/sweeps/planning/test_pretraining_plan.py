"""A plan shows the memory that each pre-training needs on a worker."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from fairfm_core.artifacts import open_store
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import read_pretraining
from fairfm_core.config.recipes import pretraining_values
from fairfm_core.data.corpora.corpus import corpus_text
from fairfm_core.errors import BadInput
from fairfm_core.snapshot import take_snapshot
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.pretraining.memory import pretraining_memory
from fairfm_core.training.pretraining.method import implementation
from sweeps.planning.corpora import corpus_of, recipe_of
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import StudySpec
from sweeps.status.network_check import count_parameters
from sweeps.status.pretraining_networks import PretrainingNetwork, count_pretrainings
from sweeps.status.status import StudyStatus

from ..conftest import Fairfm, WriteStudy

VIT = {"name": "test_vit", "image_size": 32, "channels": 1, "options": {"patch_size": 8}}
PROBE = {"method": "linear_probe", "recipe": "smoke"}


def changes(values: dict[str, Any], workers: int = 1, **recipes: dict[str, Any]) -> dict[str, Any]:
    """A study of one probe for each pre-training on its own images."""
    data = values["base"]["data"]
    smoke = {"recipe": "smoke", "batch_size": 64, "corpora": [data["dataset"]]}
    return {
        "base": {"data": data, "backbone": VIT, "adaptation": PROBE},
        "matrix": {
            "weights": {name: {"pretraining": smoke | given} for name, given in recipes.items()}
        },
        "seeds": [0],
        "resources": {"workers": workers},
    }


def plan(values: dict[str, Any], workers: int = 1, **recipes: dict[str, Any]) -> StudyPlan:
    return make_plan(StudySpec.model_validate(values | changes(values, workers, **recipes)))


def counted(made: StudyPlan) -> list[PretrainingNetwork]:
    return count_pretrainings(made.stages.values(), made.spec.resources.workers)


MAE, MOCO = {"method": "mae"}, {"method": "mocov3"}


@pytest.mark.slow
def test_the_plan_tells_what_each_pretraining_takes(
    study_values: dict[str, Any], write_study: WriteStudy, fairfm: Fairfm, tmp_path: Path
) -> None:
    study = write_study(**changes(study_values, workers=4, mae=MAE, moco=MOCO))
    printed = fairfm("sweep", "plan", study, "--elsewhere", "--results", tmp_path / "results")
    assert printed.returncode == 0, printed.stderr
    number = r"[\d.]+"
    assert re.search(
        r"\npre-trainings:\n"
        r"  mae, test_vit, patch_size 8, 32 px, batch 64 on 4 workers: [\d,]+ parameters "
        r"\(encoder [\d,]+, decoder [\d,]+\); each worker takes about "
        rf"{number} GB in fp32 \({number} weights, gradients, AdamW and the best epoch's encoder; "
        rf"{number} activations\), {number} GB in 16 bits; micro_batch: 8 about halves the "
        r"activations\n"
        r"  mocov3, test_vit, patch_size 8, 32 px, batch 64 on 4 workers: [\d,]+ parameters "
        r"\(encoder [\d,]+, projector [\d,]+, predictor [\d,]+\); each worker takes about "
        rf"{number} GB in fp32 \({number} weights, gradients, AdamW, their moving average and the "
        rf"best epoch's encoder; {number} activations\), {number} GB in 16 bits; workers: 8 about "
        r"halves the activations\ncorpora:\n"
        r"  \w+ \(phantom\): \d+ images of \d+ patients; \d+ images of \d+ validation and test "
        r"patients left out\ndistinct stages",
        printed.stdout,
    )


def test_a_program_reads_the_same_memory_in_bytes(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    made = plan(study_values, mae=MAE | {"micro_batch": 16})
    networks = count_parameters([trial.trial for trial in made.trials])
    snapshot = take_snapshot(open_store(str(tmp_path)))
    status = StudyStatus(made, snapshot, networks, counted(made))
    (found,) = json.loads(json.dumps(status.as_json()))["pretrainings"]
    assert found["name"].endswith("batch 64 in parts of 16")
    assert (found["workers"], found["images"]) == (1, 16)
    assert found["parameters"] == 4 * found["parameter_count"] > found["gradients"] > 0
    assert sum(found["parts"].values()) == found["parameter_count"]
    assert found["best"] == 4 * found["parts"]["encoder"]
    assert found["activations"] > 0 < found["activations_16"]


@pytest.mark.parametrize("method", ["mae", "mocov3"])
def test_the_best_epochs_encoder_stays_beside_the_trained_one(method: str) -> None:
    backbone = Backbone(name="test_resnet" if method == "mocov3" else "test_vit", image_size=64)
    values = pretraining_values({"method": method, "recipe": "smoke", "corpora": ("data",)})
    recipe = read_pretraining(values)
    state = TrainingState()
    state.keep_best(0.0, implementation(method)(recipe, backbone, torch.device("cpu")).encoder)
    assert state.best_weights is not None
    memory = pretraining_memory(recipe, backbone, 4)
    assert memory.best == sum(tensor.nbytes for tensor in state.best_weights.values())
    trained = memory.parameters + memory.gradients + memory.optimizer
    assert memory.state == trained + memory.average + memory.best


def test_only_what_decides_about_memory_makes_another_line(study_values: dict[str, Any]) -> None:
    made = plan(study_values, a=MAE, b=MAE | {"epochs": 3}, c=MAE | {"decoder_depth": 2})
    assert len(made.pretrainings) == 3
    first, second = counted(made)
    assert first.memory.parts["decoder"] < second.memory.parts["decoder"]
    assert first.text().endswith("micro_batch: 32 about halves the activations")


def test_a_batch_is_no_larger_than_the_corpus(study_values: dict[str, Any]) -> None:
    made = plan(study_values, mae=MAE | {"batch_size": 4096})
    assert counted(made)[0].memory.images < 4096


@pytest.mark.slow
def test_where_nothing_is_left_to_halve_nothing_is_advised(study_values: dict[str, Any]) -> None:
    texts = {
        name: counted(plan(study_values, 2, x=values | {"batch_size": 4}))[0].text()
        for name, values in {"mae": MAE, "mocov3": MOCO}.items()
    }
    assert all(text.endswith("GB in 16 bits") for text in texts.values())


def test_a_batch_that_cannot_be_shared_is_refused(study_values: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="64 images cannot be shared by 3 workers"):
        counted(plan(study_values, 3, moco=MOCO))


def test_networks_that_were_not_counted_are_left_out(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    made, snapshot = plan(study_values, mae=MAE), take_snapshot(open_store(str(tmp_path)))
    assert "pre-trainings" not in StudyStatus(made, snapshot).plan_text()
    networks = counted(made)
    text = StudyStatus(made, snapshot, (), networks).plan_text()
    assert f"pre-trainings:\n  {networks[0].text()}\n" in text


def test_a_trial_is_half_done_while_its_pretraining_is(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    made, store = plan(study_values, mae=MAE), open_store(str(tmp_path))
    (trial,) = made.trials

    def state() -> str:
        return StudyStatus(made, take_snapshot(store)).state(trial)

    assert state() == "to do"
    store.save_checkpoint(trial.stages[0].fingerprint, 12, b"state")
    assert state() == "half done: pretrain, after epoch 12"
    with store.publish("pretrain", trial.stages[0].fingerprint, {}):
        pass
    assert state() == "to do"


def test_every_image_passes_once_an_epoch(study_values: dict[str, Any], tmp_path: Path) -> None:
    made = plan(study_values, mae=MAE | {"epochs": 7})
    pretrain, *_ = made.stages.values()
    status = StudyStatus(made, take_snapshot(open_store(str(tmp_path))))
    assert status.image_passes(pretrain) == 7 * corpus_of(pretrain).images


def test_a_corpus_without_checksums_is_named_by_the_plan(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "older"
    shutil.copytree(study_values["base"]["data"]["dataset"], folder)
    fields = json.loads((folder / "manifest.json").read_text())
    del fields["checksums"], fields["seal"]
    (folder / "manifest.json").write_text(json.dumps(fields))
    (folder / "hashes.npy").unlink()
    made = plan(study_values, one=MAE | {"corpora": [str(folder)]}, own=MAE)
    text = StudyStatus(made, take_snapshot(open_store(str(tmp_path / "results")))).plan_text()
    assert text.count(f"{folder} has no checksums of its images") == 1
    assert made.data_places == [study_values["base"]["data"]["dataset"], str(folder)]


def test_copies_of_judged_images_leave_the_corpus_of_a_plan(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    """The study's own images as if another public data set held them, whose ids mean others."""
    judged = Path(study_values["base"]["data"]["dataset"])
    shutil.copytree(judged, tmp_path / "mimic")
    manifest = tmp_path / "mimic/manifest.json"
    fields = json.loads(manifest.read_text()) | {"kind": "mimic-cxr"}
    del fields["seal"]
    manifest.write_text(json.dumps(fields))
    corpora = {"corpora": [str(tmp_path / "mimic")]}
    kept = {"all": {"exclude_duplicates": False}, "everyone": {"exclude_eval_patients": False}}
    recipes = {name: MAE | corpora | {"seed": i} | kept[name] for i, name in enumerate(kept, 1)}
    made = plan(study_values, clean=MAE | corpora, own=MAE, **recipes)
    # Without copies, the corpus is that of the study's own images: one pre-training.
    assert len(made.same) == 1
    stages = [stage for stage in made.stages.values() if stage.kind == "pretrain"]
    clean, whole, everyone = map(corpus_of, stages)
    assert clean.images < whole.images == everyone.images
    assert corpus_text(clean).endswith(
        "patients with copies of validation and test images left out"
    )
    assert corpus_text(whole).endswith("patients with copies of validation and test images kept")


def test_lengths_on_a_trunk_pass_its_epochs_once(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    axis = MAE | {"epoch_axis": "trunk", "decay": 0.25}
    made = plan(study_values, long=axis | {"epochs": 8}, short=axis | {"epochs": 4})
    status = StudyStatus(made, take_snapshot(open_store(str(tmp_path))))
    long, short = made.trials
    images = corpus_of(long.stages[0]).images
    passes = {
        (s.kind, recipe_of(s).epochs): status.image_passes(s) / images
        for s in made.stages.values()
        if s.kind in ("trunk", "pretrain")
    }
    assert passes == {
        ("trunk", 3): 3,
        ("trunk", 6): 3,
        ("pretrain", 4): 1,
        ("pretrain", 8): 2,
    }
    assert sum(map(status.image_passes, long.stages[:2])) == 8 * images
    assert [each.stages for each in made.pretrainings] == [
        (trial.stages[0].fingerprint, trial.pretraining) for trial in made.trials
    ]
    assert made.pretrainings[0].name.endswith(".8e.trunk")
    trunk = long.stages[0].fingerprint
    assert made.missing(frozenset())[trunk].needs == {short.stages[0].fingerprint}
    # Nobody needs the shorter trunk any more: the longer one is trained from its first epoch.
    done = {short.pretraining or "", short.adapt.fingerprint, short.evaluate.fingerprint}
    assert made.missing(done)[trunk].needs == set()
