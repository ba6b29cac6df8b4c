"""How much work of which kind each job of a study is."""

from __future__ import annotations

from typing import Any

import pytest

from fairfm_core.stages import REVISIONS
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import StudySpec
from sweeps.timing.work import WORDS, LiveJob, Work, work_of_job

MAE = {"method": "mae", "recipe": "smoke"}


@pytest.fixture
def plan(study_values: dict[str, Any]) -> StudyPlan:
    return make_plan(StudySpec.model_validate(study_values))


def work(plan: StudyPlan, name: str, kind: str, **more: Any) -> Work:
    trial = next(trial for trial in plan.trials if trial.name == name)
    stage = next(stage for stage in trial.stages if stage.kind == kind)
    return work_of_job(LiveJob((stage,), **more), plan.data.values())


def test_work_with_a_network_is_counted_in_images(plan: StudyPlan) -> None:
    tune = work(plan, "tune.standard.s0", "adapt")
    again = work(plan, "tune.standard.s1", "adapt")
    assert tune == again
    assert tune.words == "fine-tuning of test_convnext"
    assert tune.kind == f"end_to_end test_convnext 32 px, cpu, size {tune.size}"
    features = work(plan, "probe.standard.s0", "features")
    assert features.network == tune.network
    assert tune.amount > 10 * features.amount  # 18 epochs
    gpu = work(plan, "tune.standard.s0", "adapt", demand={"GPU": 1.0}, device="1 gpu H100")
    assert gpu.kind != tune.kind


def test_heads_and_replicates_are_work_too(plan: StudyPlan) -> None:
    one, two = (work(plan, "probe.standard.s0", "adapt", heads=n) for n in (1, 2))
    assert two.amount == 2 * one.amount
    assert one.rough is not None
    evaluation = work(plan, "probe.standard.s0", "evaluate")
    spec = plan.spec.model_copy(
        update={"evaluation": plan.spec.evaluation.model_copy(update={"replicates": 209})}
    )
    assert work(make_plan(spec), "probe.standard.s0", "evaluate").amount == 10 * evaluation.amount


def test_pretrainings_of_two_methods_are_two_kinds(study_values: dict[str, Any]) -> None:
    corpora = [study_values["base"]["data"]["dataset"]]
    vit = {"name": "vit_tiny_patch16_224", "image_size": 32, "channels": 1}
    base = {**study_values["base"], "backbone": {**vit, "options": {"patch_size": 8}}}
    matrix = {
        "weights.pretraining": {
            method: {"method": method, "recipe": "smoke", "corpora": corpora, "fraction": 0.5}
            for method in ("mae", "mocov3")
        },
        "adaptation": {"probe": {"method": "linear_probe", "recipe": "smoke"}},
    }
    values = {**study_values, "base": base, "matrix": matrix, "seeds": [0]}
    plan = make_plan(StudySpec.model_validate(values))
    mae, moco = (work(plan, f"{method}.probe.s0", "pretrain") for method in ("mae", "mocov3"))
    assert (mae.words, moco.cost) == ("pre-training by mae of vit_tiny_patch16_224", 3.0)
    assert mae.family != moco.family
    assert mae.network == moco.network
    stage = plan.trials[0].stages[0]
    assert LiveJob((stage,)).text == "pre-train mae"


def test_everything_that_a_sweep_does_has_words() -> None:
    """Adaptations by their method, other stages by their kind."""
    methods = {"end_to_end", "linear_probe"}
    assert WORDS.keys() == (REVISIONS.keys() - {"adapt"}) | methods
