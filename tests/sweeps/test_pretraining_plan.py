"""A plan tells what each pre-training takes in the memory of a worker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from sweeps.plan import Plan, make_plan
from sweeps.pretraining_networks import count_pretrainings
from sweeps.standing import Standing, count_parameters
from sweeps.study import Study

from .conftest import Fairfm, WriteStudy

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


def plan(values: dict[str, Any], workers: int = 1, **recipes: dict[str, Any]) -> Plan:
    return make_plan(Study.model_validate(values | changes(values, workers, **recipes)))


MAE, MOCO = {"method": "mae"}, {"method": "mocov3"}


def test_the_plan_tells_what_each_pretraining_takes(
    study_values: dict[str, Any], write_study: WriteStudy, fairfm: Fairfm, tmp_path: Path
) -> None:
    study = write_study(**changes(study_values, workers=4, mae=MAE, moco=MOCO))
    printed = fairfm("sweep", "plan", study, "--results", tmp_path / "results")
    assert printed.returncode == 0, printed.stderr
    number = r"[\d.]+"
    assert re.search(
        r"\npre-trainings:\n"
        r"  mae, test_vit, patch_size 8, 32 px, batch 64 on 4 workers: [\d,]+ parameters "
        r"\(encoder [\d,]+, decoder [\d,]+\); each worker takes about "
        rf"{number} GB in fp32 \({number} weights, gradients and AdamW; {number} activations\), "
        rf"{number} GB in 16 bits; micro_batch: 8 about halves the activations\n"
        r"  mocov3, test_vit, patch_size 8, 32 px, batch 64 on 4 workers: [\d,]+ parameters "
        r"\(encoder [\d,]+, projector [\d,]+, predictor [\d,]+\); each worker takes about "
        rf"{number} GB in fp32 \({number} weights, gradients, AdamW and their moving average; "
        rf"{number} activations\), {number} GB in 16 bits; workers: 8 about halves the "
        r"activations\ndistinct stages",
        printed.stdout,
    )


def test_a_program_reads_the_same_memory_in_bytes(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    made = plan(study_values, mae=MAE | {"micro_batch": 16})
    networks = count_parameters([trial.trial for trial in made.trials])
    standing = Standing(made, open_store(str(tmp_path)), networks)
    (found,) = json.loads(json.dumps(standing.as_json()))["pretrainings"]
    assert found["name"].endswith("batch 64 in parts of 16")
    assert (found["workers"], found["images"]) == (1, 16)
    assert found["parameters"] == 4 * found["parameter_count"] > found["gradients"] > 0
    assert sum(found["parts"].values()) == found["parameter_count"]
    assert found["activations"] > 0 < found["activations_16"]


def test_only_what_decides_about_memory_makes_another_line(study_values: dict[str, Any]) -> None:
    made = plan(study_values, a=MAE, b=MAE | {"epochs": 3}, c=MAE | {"decoder_depth": 2})
    assert len(made.pretrainings) == 3
    first, second = count_pretrainings(made)
    assert first.memory.parts["decoder"] < second.memory.parts["decoder"]
    assert first.text().endswith("micro_batch: 32 about halves the activations")


def test_a_batch_is_no_larger_than_the_corpus(study_values: dict[str, Any]) -> None:
    made = plan(study_values, mae=MAE | {"batch_size": 4096})
    assert count_pretrainings(made)[0].memory.images < 4096


def test_where_nothing_is_left_to_halve_nothing_is_advised(study_values: dict[str, Any]) -> None:
    texts = {
        name: count_pretrainings(plan(study_values, 2, x=values | {"batch_size": 4}))[0].text()
        for name, values in {"mae": MAE, "mocov3": MOCO}.items()
    }
    assert all(text.endswith("GB in 16 bits") for text in texts.values())


def test_a_batch_that_cannot_be_shared_is_refused(study_values: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="64 images cannot be shared by 3 workers"):
        count_pretrainings(plan(study_values, 3, moco=MOCO))


def test_without_networks_nothing_is_counted(study_values: dict[str, Any], tmp_path: Path) -> None:
    standing = Standing(plan(study_values, mae=MAE), open_store(str(tmp_path)))
    assert standing.pretrainings == []
    assert "pre-trainings" not in standing.plan_text()
