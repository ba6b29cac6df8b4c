"""Plans: what is shared, what is refused before anything starts, where a study stands."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.results.study_record import StoredComparison
from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from fairfm_core.snapshot import take_snapshot
from sweeps.planning.plan import StudyPlan, make_plan, study_record
from sweeps.planning.study import StudySpec
from sweeps.status.network_check import check_networks, count_parameters
from sweeps.status.status import StudyStatus


def plan(values: dict[str, Any], **changes: Any) -> StudyPlan:
    return make_plan(StudySpec.model_validate({**values, **changes}))


def test_each_distinct_stage_stands_once(study_values: dict[str, Any]) -> None:
    made = plan(study_values)
    kinds = [stage.kind for stage in made.stages.values()]
    # Two seeds of a scratch backbone give two sets of features, shared by both samplings.
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "features": 2,
        "adapt": 8,
        "evaluate": 8,
    }


def test_inputs_stand_before_their_consumers(study_values: dict[str, Any]) -> None:
    order = list(plan(study_values).stages)
    for fingerprint, stage in plan(study_values).stages.items():
        for need in stage.inputs.values():
            assert order.index(need) < order.index(fingerprint)


def test_the_same_work_under_two_names_runs_once(study_values: dict[str, Any]) -> None:
    sampling = {"a": "standard", "b": "standard"}
    made = plan(study_values, matrix={**study_values["matrix"], "data.sampling": sampling})
    assert len(made.trials) == 4
    assert ("probe.b.s0", "probe.a.s0") in made.same


def test_seeds_share_a_group_and_configurations_do_not(study_values: dict[str, Any]) -> None:
    groups = {trial.name: trial.group for trial in plan(study_values).trials}
    assert groups["probe.standard.s0"] == groups["probe.standard.s1"]
    assert len(set(groups.values())) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pathologies": ["Edemma"]}, "did you mean 'Edema'"),
        ({"dataset": "/nowhere"}, "nowhere"),
        ({"balance": "rasse", "sampling": "balanced"}, "'rasse'.*race"),
        ({"balance": "rasse", "sampling": "balancd"}, "'balancd' is not known .did you mean 'bal"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    study_values: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    base = study_values["base"]
    changed = {**base, "data": {**base["data"], **changes}}
    with pytest.raises(BadInput, match=message):
        plan(
            study_values, base=changed, matrix={"adaptation": study_values["matrix"]["adaptation"]}
        )


def on_a_copy(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The study on a copy of its data in `folder`, which a test may change."""
    base = values["base"]
    shutil.copytree(base["data"]["dataset"], folder)
    return {**values, "base": {**base, "data": {**base["data"], "dataset": str(folder)}}}


def test_a_changed_cohort_is_refused(study_values: dict[str, Any], tmp_path: Path) -> None:
    values = on_a_copy(study_values, tmp_path / "data")
    path = tmp_path / "data/cohort.parquet"
    frame = pd.read_parquet(path)
    frame.assign(y_Edema=1 - frame["y_Edema"]).to_parquet(path)
    with pytest.raises(BadInput, match=r"the cohort of .*data changed after preparation"):
        plan(values)


def test_data_without_checksums_are_planned_with_a_word(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    """Data sets of earlier versions keep their identities; the plan says what is not verified."""
    values = on_a_copy(study_values, tmp_path / "data")
    manifest = tmp_path / "data/manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "checksums": None}))
    snapshot = take_snapshot(open_store(str(tmp_path / "results")))
    made, sealed = plan(values), plan(study_values)
    assert list(made.stages) == list(sealed.stages)
    advice = f"add them with: fairfm data seal {tmp_path / 'data'}\n"
    assert StudyStatus(made, snapshot).plan_text().count(advice) == 1
    assert "seal" not in StudyStatus(sealed, snapshot).plan_text()


@pytest.mark.parametrize("method", ["end_to_end", "linear_probe"])
def test_a_loss_needs_groups_that_the_data_have(study_values: dict[str, Any], method: str) -> None:
    def planned(attribute: Any) -> StudyPlan:
        loss = {"name": "reweighted", "attribute": attribute}
        adaptation = {"loss": {"method": method, "loss": loss}}
        return plan(study_values, matrix={"adaptation": adaptation})

    assert planned(["sex", "age"]).trials
    with pytest.raises(BadInput, match="'rasse' is not in the cohort"):
        planned("rasse")


def test_an_attribute_the_data_lack_is_refused(study_values: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="'colour'"):
        plan(study_values, evaluation={"attributes": ["colour", "sex"]})


def test_protocols_need_their_attributes_and_labels_before_anything_runs(
    study_values: dict[str, Any],
) -> None:
    weighed = {"attributes": ["sex"], "protocols": ["balanced"]}
    assert plan(study_values, evaluation={**weighed, "balance": ["sex", "race"]}).trials
    with pytest.raises(BadInput, match=r"evaluation\.protocols need 'colour'"):
        plan(study_values, evaluation={**weighed, "balance": ["sex", "colour"]})
    with pytest.raises(BadInput, match="draws by Pleural Effusion and No Finding, but 'No Finding"):
        plan(study_values, evaluation={"attributes": ["sex"], "protocols": ["glocker"]})


def test_a_joint_balance_is_checked_by_attribute(study_values: dict[str, Any]) -> None:
    base = study_values["base"]
    for balance, fits in ((["race", "sex"], True), (["rasse", "sex"], False)):
        data = {**base["data"], "sampling": "balanced", "balance": balance}
        changes = {
            "base": {**base, "data": data},
            "matrix": {"adaptation": study_values["matrix"]["adaptation"]},
        }
        if fits:
            assert plan(study_values, **changes).trials
        else:
            with pytest.raises(BadInput, match="'rasse' is not in the cohort"):
                plan(study_values, **changes)


def test_balancing_uses_the_age_edges_of_the_study(study_values: dict[str, Any]) -> None:
    base = study_values["base"]
    changes = {
        "base": {**base, "data": {**base["data"], "sampling": "balanced", "balance": "age"}},
        "matrix": {"adaptation": study_values["matrix"]["adaptation"]},
    }
    default, two = (
        plan(study_values, evaluation={"attributes": ["sex", "age"], **edges}, **changes)
        for edges in ({}, {"age_edges": [50]})
    )
    for before, after in zip(default.trials, two.trials, strict=True):
        assert before.adapt.fingerprint != after.adapt.fingerprint
        assert before.group != after.group
    with pytest.raises(BadInput, match="'age' has only the group <119"):
        plan(study_values, evaluation={"attributes": ["sex", "age"], "age_edges": [119]}, **changes)


def test_a_study_without_a_cell_is_refused(study_values: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="no trial left"):
        plan(study_values, exclude=[{"adaptation": "probe"}, {"adaptation": "tune"}])


def test_the_terms_of_the_comparison_are_planned_printed_and_recorded(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    base = study_values["base"] | {"adaptation": {"method": "end_to_end", "recipe": "smoke"}}
    axes = {"weights": {"random": "scratch", "zoo": "effnet_lite0"}}
    backbone = {"backbone": {"name": "tf_efficientnet_lite0", "image_size": 32}}
    made = plan(study_values, base=base | backbone, matrix=axes)
    lines = (
        "images:",
        "  centre crop 0.875 of the side, bicubic to 32 x 32 px, half (mean 0.5, std 0.5)",
        "  data: stored as 32 x 32 px (drawn)",
        "  data: the 28 px that evaluation sees are enlarged to 32; `fairfm data prepare --size 36`"
        " stores enough",
        "training:",
        "  end_to_end: 8 epochs, batch 16",
        "terms:",
        "  centre crop 0.875 in evaluation for all trials, as for models of the zoo",
        "  normalisation half for all trials of tf_efficientnet_lite0, as for the zoo's models",
        "networks:",
    )
    status = StudyStatus(made, take_snapshot(open_store(str(tmp_path))))
    assert "\n".join(lines) in status.plan_text()
    recorded = made.terms.as_json()
    assert status.as_json()["comparison"] == study_record(made, "1.0")["comparison"] == recorded
    assert StoredComparison.model_validate(recorded).images == [line[2:] for line in lines[1:4]]
    for trial in made.trials:
        assert trial.record.config["backbone"]["crop_pct"] == 0.875


def test_the_record_holds_no_path(study_values: dict[str, Any], phantom_folder: Path) -> None:
    record = study_record(plan(study_values), "1.0")
    assert str(phantom_folder.parent) not in str(record["trials"])
    assert record["trials"][0]["axes"] == {"adaptation": "probe", "data.sampling": "standard"}


def test_status_says_what_is_left_to_do(study_values: dict[str, Any], tmp_path: Path) -> None:
    made = plan(study_values)
    store = open_store(str(tmp_path))
    probe, tune = made.trials[0], made.trials[4]
    store.record_failure(probe.adapt.fingerprint, "loss is nan at step 7 (epoch 1)")
    store.save_checkpoint(tune.adapt.fingerprint, 2, b"state")
    status = StudyStatus(made, take_snapshot(store))
    assert status.state(probe) == "failed: adapt: loss is nan at step 7 (epoch 1)"
    assert status.state(tune) == "half done: adapt, after epoch 2"
    assert status.state(made.trials[1]) == "to do"
    assert "0 of 8 done, 1 failed" in status.status_text()
    assert "features: 2, 0, 2" in status.plan_text()


def test_cost_counts_the_images_that_pass_through_a_network(study_values: dict[str, Any]) -> None:
    made = plan(study_values)
    status = StudyStatus(made, take_snapshot(open_store("unused")))
    frame = next(iter(made.data.values())).frame
    counts = frame["split"].value_counts()
    features, probe, tune = (
        next(s for s in made.stages.values() if s.kind == "features"),
        made.trials[0].adapt,
        made.trials[4].adapt,
    )
    assert status.image_passes(features) == len(frame)
    assert status.image_passes(probe) == 0
    expected = 18 * (counts["train"] + counts["val"]) + counts["val"] + counts["test"]
    assert status.image_passes(tune) == expected


def tuned(values: dict[str, Any], **recipe: Any) -> dict[str, Any]:
    """The base of a study of one fine-tuning."""
    adaptation = {"method": "end_to_end", "recipe": "smoke", **recipe}
    return {"base": {**values["base"], "adaptation": adaptation}, "matrix": {}, "seeds": [0]}


def test_the_plan_tells_what_each_network_takes(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    made = plan(study_values)
    networks = count_parameters([trial.trial for trial in made.trials])
    probe, tune = (network.text() for network in networks)
    assert re.fullmatch(
        r"test_convnext, 32 px, linear probe: [\d,]+ parameters; "
        r"forward only, [\d.]+ GB of weights",
        probe,
    )
    assert re.fullmatch(
        r"test_convnext, 32 px, batch (\d+): [\d,]+ parameters; training takes about [\d.]+ GB in "
        r"fp32 \([\d.]+ weights, gradients, AdamW and the best epoch's weights; [\d.]+ "
        r"activations\), [\d.]+ GB in 16 bits; "
        r"micro_batch: \d+ about halves the activations",
        tune,
    )
    text = StudyStatus(made, take_snapshot(open_store(str(tmp_path))), networks).plan_text()
    assert f"networks:\n  {probe}\n  {tune}\n" in text


def test_a_program_reads_the_same_memory_in_bytes(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    made = plan(study_values)
    networks = count_parameters([trial.trial for trial in made.trials])
    record = StudyStatus(made, take_snapshot(open_store(str(tmp_path))), networks).as_json()
    tune = json.loads(json.dumps(record))["networks"][1]
    assert tune["name"] == networks[1].name
    assert tune["parameters"] == 4 * tune["parameter_count"] == tune["optimizer"] / 2
    assert tune["activations"] > tune["activations_16"] > 0


def test_a_networks_line_names_what_saves_memory(study_values: dict[str, Any]) -> None:
    settings = {"batch_size": 8, "checkpoint_activations": True, "ema_decay": 0.9}
    made = plan(study_values, **tuned(study_values, micro_batch=1, **settings))
    (network,) = count_parameters([trial.trial for trial in made.trials])
    assert network.name == ("test_convnext, 32 px, batch 8 in parts of 1, activations checkpointed")
    assert "AdamW, their moving average and the best epoch's weights" in network.text()
    assert network.text().endswith("GB in 16 bits")


def test_a_network_that_cannot_be_built_is_refused(study_values: dict[str, Any]) -> None:
    trials = [t.trial for t in plan(study_values, **tuned(study_values, pool="token")).trials]
    for count in (check_networks, count_parameters):
        with pytest.raises(BadInput, match="no class token"):
            count(trials)
