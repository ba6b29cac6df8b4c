"""What a study leaves out comes from the zoo and the recipe; what it says stands above."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.trial import Trial
from fairfm_core.config.zoo import MODELS

TUNE = {"method": "end_to_end"}
PROBE = {"method": "linear_probe"}
FILE = "weights/w.safetensors"


def trial(weights: Any, adaptation: dict[str, Any], **changes: Any) -> Trial:
    values = {"weights": weights, "adaptation": adaptation, "data": {"dataset": "d"}, **changes}
    return Trial.model_validate(values)


def given(model: str) -> Any:
    return model if model.startswith("scratch") else {"model": model, "file": FILE}


# (epochs, batch, layer decay) of section 3.2 and Table 1; scratch as decided in docs.
PAPER = {
    "mae": (200, 128, 0.55),
    "mae_med": (100, 128, 0.55),
    "mocov3": (200, 128, 0.55),
    "mocov3_med": (100, 128, 0.55),
    "bit": (30, 32, 1.0),
    "remedis": (20, 32, 1.0),
    "scratch_vit": (200, 128, 1.0),
    "scratch_resnet": (30, 32, 1.0),
}


@pytest.mark.parametrize("model", PAPER)
def test_the_papers_recipe_by_model(model: str) -> None:
    recipe = trial(given(model), TUNE).adaptation
    assert isinstance(recipe, EndToEnd)
    assert (recipe.epochs, recipe.batch_size, recipe.layer_decay) == PAPER[model]
    assert (recipe.augmentation, recipe.magnitude, recipe.drop_path) == ("randaugment", 6, 0.2)
    assert (recipe.base_lr, recipe.betas, recipe.weight_decay) == (2.5e-4, (0.9, 0.95), 0.05)


@pytest.mark.parametrize("record", MODELS, ids=lambda record: record.id)
def test_the_zoo_gives_network_and_normalisation(record: Any) -> None:
    weights = record.id if record.bundled else given(record.id)
    backbone = trial(weights, TUNE).backbone
    assert (backbone.name, backbone.normalisation) == (record.backbone, record.normalisation)
    assert (backbone.image_size, backbone.crop_pct) == (224, 0.875)


def test_what_a_trial_says_stands_above() -> None:
    said = trial(
        given("mae"),
        {**TUNE, "epochs": 3, "layer_decay": 0.7},
        backbone={"image_size": 96, "channels": 1, "crop_pct": 1},
    )
    assert (said.backbone.image_size, said.backbone.channels, said.backbone.crop_pct) == (96, 1, 1)
    assert said.backbone.name == "vit_base_patch16_224"
    assert said.weights is not None
    assert (said.weights.network.image_size, said.weights.network.channels) == (224, 3)
    assert isinstance(said.adaptation, EndToEnd)
    assert (said.adaptation.epochs, said.adaptation.layer_decay) == (3, 0.7)


@pytest.mark.parametrize(
    ("model", "optimizer", "normalise", "warmup"),
    [
        ("mae", "lars", True, 10),
        ("mocov3", "sgd", False, 0),
        ("remedis", "sgd", False, 0),
        ("bit", "lars", True, 10),
    ],
)
def test_the_official_probe_of_each_method(
    model: str, optimizer: str, normalise: bool, warmup: int
) -> None:
    recipe = trial(given(model), PROBE).adaptation
    assert isinstance(recipe, LinearProbe)
    assert (recipe.optimizer, recipe.normalise, recipe.warmup_epochs) == (
        optimizer,
        normalise,
        warmup,
    )
    assert (recipe.epochs, recipe.weight_decay, recipe.lr_scaling) == (90, 0.0, "linear256")


@pytest.mark.parametrize("recipe", ["paper", "official"])
@pytest.mark.parametrize(
    ("method", "optimizer", "normalise", "warmup"),
    [("mae", "lars", True, 10), ("mocov3", "sgd", False, 0)],
)
def test_a_pretraining_of_ones_own_has_its_methods_probe(
    recipe: str, method: str, optimizer: str, normalise: bool, warmup: int
) -> None:
    given = {"pretraining": {"method": method, "corpora": ["c"], "recipe": "smoke"}}
    whole = trial(given, {**PROBE, "recipe": recipe}, backbone={"name": "test_vit"})
    found = whole.adaptation
    assert isinstance(found, LinearProbe)
    assert (found.optimizer, found.normalise, found.warmup_epochs) == (optimizer, normalise, warmup)
    # As a results folder stores it, and as a validated record stands in a trial.
    stored = whole.model_dump(mode="json") | {"adaptation": {**PROBE, "recipe": recipe}}
    assert Trial.model_validate(stored) == whole
    assert Trial.model_validate({**stored, "pretraining": whole.pretraining}) == whole


def test_scratch_ids_are_random_weights_of_their_network() -> None:
    named = trial("scratch_vit", {**TUNE, "recipe": "smoke"})
    plain = trial(
        "scratch",
        {**TUNE, "recipe": "smoke"},
        backbone={"name": "vit_base_patch16_224", "crop_pct": 0.875},
    )
    assert named == plain
    assert named.weights is None


def test_a_users_own_file_needs_its_network() -> None:
    own = trial(
        {"file": FILE, "format": "timm"}, PROBE, backbone={"name": "test_vit", "image_size": 32}
    )
    assert own.weights is not None
    assert (own.weights.model, own.weights.network.name) == ("own", "test_vit")
    with pytest.raises(ValidationError, match="the network is not given"):
        trial({"file": FILE, "format": "timm"}, PROBE)


def test_a_path_is_no_part_of_what_a_trial_is() -> None:
    here = trial({"model": "mae", "file": "/here/w.pth"}, PROBE)
    there = trial({"model": "mae", "file": "/there/w.pth"}, PROBE)
    assert here != there
    assert here.without_places() == there.without_places()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("maee", r"weights 'maee' are not known \(did you mean 'mae'\?\); known: scratch, mae"),
        ("mae", r"need a file: weights: \{model: mae, file: PATH\}; get it from https://"),
        ({"model": "maee"}, "did you mean 'mae'"),
        ({"modl": "mae"}, "weights need `model`, an id of the zoo"),
        ({"model": "mae", "file": FILE, "colour": 1}, "Extra inputs"),
        (3, "weights"),
        ({"model": ["mae"]}, "weights need `model`"),
        ({"model": "scratch_vit", "file": FILE}, "scratch_vit are random: file does not apply"),
        ({"model": "mae", "file": FILE, "network": "q"}, "must be a mapping of keys to values"),
        (
            {"model": "mae", "file": FILE, "network": {"normalisation": "half"}},
            r"has no key normalisation.*set the rest under backbone",
        ),
    ],
)
def test_wrong_weights_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        trial(weights, PROBE, backbone={"image_size": 32})


def test_another_network_than_the_weights_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"for vit_base_patch16_224, not resnet50"):
        trial(given("mae"), PROBE, backbone={"name": "resnet50"})


def test_a_backbone_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ValidationError, match="backbone must be a mapping"):
        trial("effnet_lite0", PROBE, backbone="resnet50")


@pytest.mark.parametrize(
    ("model", "recipe", "layer_decay", "drop_path"),
    [
        ("mae", "medical_mae", 0.55, 0.2),
        ("mae", "official", 0.65, 0.1),
        ("bit", "medical_mae", 1.0, 0.0),
        ("bit", "official", 1.0, 0.1),
        ("scratch_vit", "medical_mae", 1.0, 0.2),
        ("scratch_resnet", "official", 1.0, 0.1),
    ],
)
def test_layer_decay_is_for_pretrained_transformers(
    model: str, recipe: str, layer_decay: float, drop_path: float
) -> None:
    values = trial(given(model), {**TUNE, "recipe": recipe}).adaptation
    assert isinstance(values, EndToEnd)
    assert (values.layer_decay, values.drop_path) == (layer_decay, drop_path)


@pytest.mark.parametrize(
    ("name", "layer_decay"), [("vit_small_patch16_224", 0.55), ("resnet50", 1.0)]
)
def test_a_users_own_network_decides_about_layer_decay(name: str, layer_decay: float) -> None:
    own = trial({"file": FILE, "format": "timm"}, TUNE, backbone={"name": name}).adaptation
    assert isinstance(own, EndToEnd)
    assert own.layer_decay == layer_decay


@pytest.mark.parametrize(
    ("adaptation", "message"),
    [
        ({**TUNE, "betas": [1.5, 0.9]}, "less than 1"),
        ({**TUNE, "crop_scale": [0.9, 0.2]}, "two fractions with 0 < low <= high <= 1"),
        ({**PROBE, "batch_size": 1}, "batch_size 1 cannot be normalised"),
    ],
)
def test_impossible_values_are_refused_before_anything_runs(
    adaptation: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        trial("effnet_lite0", adaptation)


@pytest.mark.parametrize("recipe", ["paper", "medical_mae", "official", "smoke"])
def test_every_recipe_validates_for_every_model(recipe: str) -> None:
    for record in MODELS:
        weights = record.id if record.bundled else given(record.id)
        for method in (TUNE, PROBE):
            trial(weights, {**method, "recipe": recipe})


SMALL = {"name": "vit_small_patch16_224"}


def own(heads: int | None, backbone: dict[str, Any] = SMALL, **fields: Any) -> Trial:
    given = {"file": FILE, "format": "timm", **fields}
    return trial(given if heads is None else given | {"heads": heads}, PROBE, backbone=backbone)


def test_a_network_that_only_the_file_names_is_the_backbone() -> None:
    network = {"name": "vit_small_patch16_224", "image_size": 96}
    weights = {"file": FILE, "format": "timm", "heads": 12, "network": network}
    for backbone in ({}, {"backbone": {"crop_pct": 0.9}}):
        found = trial(weights, PROBE, **backbone)
        assert found.backbone.name == "vit_small_patch16_224"
        assert found.backbone.image_size == 96
        assert found.backbone.options == {"num_heads": 12}
    assert found.backbone.crop_pct == 0.9


def test_heads_of_a_users_own_file_are_those_of_both_networks() -> None:
    twelve = own(12)
    assert twelve.weights is not None
    assert twelve.weights.network.options == twelve.backbone.options == {"num_heads": 12}
    assert twelve.weights.heads == 12


def test_the_networks_own_heads_move_no_identity() -> None:
    plain, six = own(None), own(6)
    assert plain.weights is not None
    assert six.weights is not None
    assert (plain.weights.heads, six.weights.heads) == (None, 6)
    assert six.backbone == plain.backbone
    assert six.weights.network == plain.weights.network


def test_heads_among_the_options_are_stated() -> None:
    stated = own(None, {**SMALL, "options": {"num_heads": 12}})
    assert stated.weights == own(12).weights
    assert stated.backbone == own(12).backbone


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"model": "mae", "file": FILE, "heads": 6}, "mae have 12 attention heads; leave weights"),
        ({"model": "effnet_lite0", "heads": 6}, "effnet_lite0 have no attention heads"),
        ({"file": FILE, "format": "timm", "heads": 0}, "greater than or equal to 1"),
    ],
)
def test_heads_that_contradict_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        trial(weights, PROBE, backbone=SMALL if "model" not in weights else {})


def test_heads_that_contradict_the_options_are_refused() -> None:
    with pytest.raises(ValidationError, match="heads: 12 contradicts num_heads: 6"):
        own(12, {**SMALL, "options": {"num_heads": 6}})


def test_the_zoo_knows_the_heads_of_its_models() -> None:
    for model in ("mae", "mae_med", "mocov3", "mocov3_med"):
        weights = trial(given(model), PROBE).weights
        assert weights is not None
        assert weights.heads == 12
    assert trial("effnet_lite0", PROBE).weights.heads is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "weights",
    ["scratch", None, {"pretraining": {"method": "mae", "corpora": ["c"], "recipe": "smoke"}}],
)
def test_a_pretrained_tag_without_weights_is_refused(weights: Any) -> None:
    with pytest.raises(ValidationError, match=r"names pre-trained weights.*write weights: \{file"):
        trial(weights, PROBE, backbone={"name": "resnet18.a1_in1k"})


def test_a_pretrained_tag_with_weights_is_a_network() -> None:
    tagged = own(None, {"name": "resnet18.a1_in1k"})
    assert tagged.backbone.name == "resnet18.a1_in1k"


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_path": "w.pth"},
        {"pretrained": True},
        {"pretrained_cfg": "a1_in1k"},
        {"pretrained_cfg_overlay": {"file": "w.pth"}},
        {"cache_dir": "here"},
        {"num_heads": 6, "hf_hub_id": "timm/resnet18"},
    ],
)
def test_options_that_load_weights_are_refused(options: dict[str, Any]) -> None:
    named = next(name for name in options if name != "num_heads")
    message = rf"{named} would load weights .*weights: \{{file"
    with pytest.raises(ValidationError, match=message):
        trial("scratch", PROBE, backbone={**SMALL, "options": options})
    with pytest.raises(ValidationError, match=message):
        own(None, network={"options": options})
