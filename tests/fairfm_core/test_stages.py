"""A trial's stages: what is shared, what is not, and what an identity depends on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fairfm_core.config.evaluation import AGE_EDGES, EvaluationSettings
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.trial import Trial
from fairfm_core.stages import REVISIONS, Stage, stages_of

PATHOLOGIES = ("Edema", "Mass")


def trial(method: str = "linear_probe", seed: int = 0, **data: Any) -> Trial:
    return Trial.model_validate(
        {
            "backbone": {"name": "test_vit", "image_size": 64},
            "adaptation": {"method": method, "recipe": "smoke"},
            "data": {"dataset": "here", **data},
            "seed": seed,
        }
    )


def stages(one: Trial, digest: str = "d", **settings: Any) -> dict[str, Stage]:
    found = stages_of(one, digest, PATHOLOGIES, EvaluationSettings(**settings))
    return {stage.kind: stage for stage in found}


def test_golden_fingerprints() -> None:
    """These identities are stored in users' results: a change of code must not move them."""
    probe = stages(trial())
    assert {kind: stage.fingerprint for kind, stage in probe.items()} == {
        "features": "7321bd07def3ce562567",
        "adapt": "ba3054d16ecd8959c3aa",
        "evaluate": "f2e8dd50cbb20371ea90",
    }


def test_an_identity_covers_the_whole_stage_but_its_places() -> None:
    """Against the record itself: a new field must be part of the identity, or be left out here."""
    for stage in stages(trial(method="end_to_end")).values():
        content = asdict(stage) | {"revision": REVISIONS[stage.kind]}
        for name in ("dataset", "corpora", "followed", "pause_after", "continues"):
            del content[name]
        assert stage.fingerprint == fingerprint(content)


def test_probes_of_one_backbone_share_its_features() -> None:
    standard, balanced = stages(trial()), stages(trial(sampling="balanced"))
    assert standard["features"].fingerprint == balanced["features"].fingerprint
    assert standard["adapt"].fingerprint != balanced["adapt"].fingerprint
    assert standard["adapt"].inputs == {"features": standard["features"].fingerprint}


def test_scratch_features_depend_on_the_seed() -> None:
    assert stages(trial(seed=0))["features"] != stages(trial(seed=1))["features"]


def test_end_to_end_needs_no_features() -> None:
    assert list(stages(trial("end_to_end"))) == ["adapt", "evaluate"]


def test_paths_never_enter_an_identity_and_data_do() -> None:
    here, there = stages(trial()), stages(trial(dataset="there"))
    assert [s.fingerprint for s in here.values()] == [s.fingerprint for s in there.values()]
    other = stages(trial(), digest="e")
    assert not {s.fingerprint for s in here.values()} & {s.fingerprint for s in other.values()}


def test_a_pretraining_does_not_depend_on_how_evaluation_crops() -> None:
    """It sees random crops of the whole image; the adaptation does depend on it."""

    def of(**backbone: Any) -> dict[str, Stage]:
        recipe = {"method": "mae", "corpora": ["c"], "digest": "e"}
        values = trial("end_to_end").model_dump(mode="json") | {"pretraining": recipe}
        return stages(Trial.model_validate({**values, "backbone": {"name": "x", **backbone}}))

    whole, centre, bilinear = of(), of(crop_pct=0.875), of(interpolation="bilinear")
    assert whole["pretrain"].fingerprint == centre["pretrain"].fingerprint
    assert whole["adapt"].fingerprint != centre["adapt"].fingerprint
    assert whole["pretrain"].fingerprint != bilinear["pretrain"].fingerprint


def test_the_balancing_attribute_counts_only_when_it_is_used() -> None:
    by_race, by_sex = stages(trial(balance="race")), stages(trial(balance="sex"))
    assert by_race["adapt"].fingerprint == by_sex["adapt"].fingerprint
    by_race = stages(trial(balance="race", sampling="balanced"))
    by_sex = stages(trial(balance="sex", sampling="balanced"))
    assert by_race["adapt"].fingerprint != by_sex["adapt"].fingerprint


def test_one_balancing_attribute_in_a_list_is_that_attribute() -> None:
    single = stages(trial(balance="race", sampling="balanced"))["adapt"].fingerprint
    listed = stages(trial(balance=["race"], sampling="balanced"))["adapt"].fingerprint
    joint = stages(trial(balance=["sex", "race"], sampling="balanced"))["adapt"].fingerprint
    assert single == listed != joint
    turned = stages(trial(balance=["race", "sex"], sampling="balanced"))["adapt"].fingerprint
    assert joint == turned


def test_age_edges_count_where_training_is_balanced_over_age() -> None:
    """The edges of the study bin ages in training too; the default ones move no identity."""

    def adapt(balance: Any, edges: tuple[float, ...] | None, sampling: str = "balanced") -> Stage:
        given = {} if edges is None else {"age_edges": edges}
        return stages(trial(balance=balance, sampling=sampling), **given)["adapt"]

    for balance in ("age", ["age", "sex"]):
        unset, default, other = (adapt(balance, edges) for edges in (None, AGE_EDGES, (40, 60)))
        assert unset.fingerprint == default.fingerprint != other.fingerprint
        assert "age_edges" not in default.config
        assert other.config["age_edges"] == [40, 60]
    for balance, sampling in (("race", "balanced"), ("age", "standard")):
        first, second = (adapt(balance, edges, sampling) for edges in (None, (40, 60)))
        assert first.fingerprint == second.fingerprint


def test_a_training_set_balanced_over_age_keeps_its_identity() -> None:
    """Stored before the edges could differ."""
    balanced = stages(trial(balance="age", sampling="balanced"))
    assert balanced["adapt"].fingerprint == "464c66aa4b6e3a2cc8ec"


def test_all_pathologies_are_the_default() -> None:
    named = stages(trial(pathologies=PATHOLOGIES))
    assert named["adapt"].fingerprint == stages(trial())["adapt"].fingerprint


def test_evaluation_settings_change_the_evaluation_alone() -> None:
    few, many = stages(trial(), replicates=10), stages(trial(), replicates=20)
    assert few["adapt"].fingerprint == many["adapt"].fingerprint
    assert few["evaluate"].fingerprint != many["evaluate"].fingerprint


def weighted(**given: Any) -> Stage:
    """The weights stage of a user's own file, as a plan completes it."""
    values = {
        "weights": {"file": "w.pth", "format": "timm", **given},
        "backbone": {"name": "vit_small_patch16_224"},
        "adaptation": {"method": "linear_probe", "recipe": "smoke"},
        "data": {"dataset": "here"},
    }
    whole = Trial.model_validate(values)
    assert whole.weights is not None
    planned = whole.weights.model_copy(update={"sha256": "0" * 64})
    return stages(whole.model_copy(update={"weights": planned}))["weights"]


def test_weights_keep_their_identity() -> None:
    """Stored before heads, key and prefix could be given."""
    assert weighted().fingerprint == "507667501910ce8303c1"
    assert weighted(heads=6).fingerprint == weighted().fingerprint


def test_bit_s_weights_have_the_identity_of_bit_s_epsilon() -> None:
    """Features of other weights are not computed again."""
    assert weighted().config.keys().isdisjoint({"standardised"})
    for name in ("bit", "remedis"):
        assert weighted(format=name).config["standardised"] == 1e-10


def test_heads_key_and_prefix_are_part_of_an_identity() -> None:
    given = ({}, {"heads": 12}, {"key": "ema"}, {"key": "model"}, {"prefix": "encoder."})
    assert len({weighted(**fields).fingerprint for fields in given}) == len(given)
