"""Recipes of pre-training are the published numbers; what is of one method the other refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED, read_pretraining
from fairfm_core.config.pretraining import AUGMENTATIONS, Pretraining
from fairfm_core.config.recipes import pretraining_values
from fairfm_core.config.trial import Trial
from fairfm_core.errors import BadInput
from fairfm_core.stages import starting_stages

Values = dict[str, Any]

# facebookresearch/mae: PRETRAIN.md (64 GPUs of 64 images), the defaults of main_pretrain.py, its
# transform, and mae_vit_base_patch16_dec512d8b of models_mae.py; He et al. 2022, table 8.
MAE: Values = {
    "epochs": 800,
    "warmup_epochs": 40,
    "batch_size": 4096,
    "base_lr": 1.5e-4,
    "min_lr": 0.0,
    "weight_decay": 0.05,
    "betas": (0.9, 0.95),
    "augmentation": "crop",
    "crop_scale": (0.2, 1.0),
    "mask_ratio": 0.75,
    "norm_pix": True,
    "decoder_dim": 512,
    "decoder_depth": 8,
    "decoder_heads": 16,
}
# facebookresearch/moco-v3: CONFIG.md (ViT-Base, 8 nodes), the defaults of main_moco.py (betas are
# those of torch's AdamW), and the heads of moco/builder.py.
MOCO: Values = {
    "epochs": 300,
    "warmup_epochs": 40,
    "batch_size": 4096,
    "base_lr": 1.5e-4,
    "min_lr": 0.0,
    "weight_decay": 0.1,
    "betas": (0.9, 0.999),
    "augmentation": "mocov3",
    "crop_scale": (0.08, 1.0),
    "temperature": 0.2,
    "momentum": 0.99,
    "hidden_dim": 4096,
    "projection_dim": 256,
}
# lambert-x/medical_mae, as read for reference/foundation_models.md, section 3.
MEDICAL: Values = MAE | {
    "mask_ratio": 0.9,
    "norm_pix": False,
    "batch_size": 2048,
    "crop_scale": (0.5, 1.0),
}
# The paper's section 4.2: 800 epochs, crop, flip and rotation for both methods, "official
# configurations" otherwise. The areas of its crop are not stated: torchvision's own.
OF_PAPER: Values = {"epochs": 800, "augmentation": "paper", "crop_scale": (0.08, 1.0)}

PUBLISHED = [
    ("mae", "official", MAE),
    ("mae", "medical_mae", MEDICAL),
    ("mae", "paper", MAE | OF_PAPER),
    ("mocov3", "official", MOCO),
    ("mocov3", "paper", MOCO | OF_PAPER),
]
RECIPES = [(name, recipe) for name, record in SELF_SUPERVISED.items() for recipe in record.recipes]
OWN_FIELDS = {name: record.own_fields for name, record in SELF_SUPERVISED.items()}

OTHERS: dict[str, Values] = {
    "mae": {
        "mask_ratio": 0.5,
        "norm_pix": False,
        "decoder_dim": 256,
        "decoder_depth": 4,
        "decoder_heads": 8,
        "micro_batch": 64,
    },
    "mocov3": {"temperature": 0.1, "momentum": 0.996, "hidden_dim": 2048, "projection_dim": 128},
}
"""Values other than the defaults, of each method's own settings."""
NOT_OF = [
    (method, owner, name, value)
    for method, owner in (("mae", "mocov3"), ("mocov3", "mae"))
    for name, value in OTHERS[owner].items()
]


def pretraining(method: str, **given: Any) -> Pretraining:
    values = {"method": method, "corpora": ("images",), **given}
    return read_pretraining(pretraining_values(values))


@pytest.mark.parametrize(("method", "recipe", "published"), PUBLISHED)
def test_a_recipe_is_what_was_published(method: str, recipe: str, published: Values) -> None:
    found = pretraining(method, recipe=recipe)
    assert {name: getattr(found, name) for name in published} == published


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_a_recipe_says_nothing_of_the_data_and_of_the_machine(method: str, recipe: str) -> None:
    found = pretraining(method, recipe=recipe).content()
    assert found.keys() <= {"method", "corpora"} | {*MAE, *MOCO}


def test_the_papers_recipe_is_taken_where_none_is_named() -> None:
    for method in SELF_SUPERVISED:
        assert pretraining(method) == pretraining(method, recipe="paper")


def test_what_a_study_says_stands_above_its_recipe() -> None:
    found = pretraining("mocov3", recipe="official", epochs=100, temperature=1.0)
    assert (found.epochs, found.temperature, found.weight_decay) == (100, 1.0, 0.1)


def test_a_recipe_of_the_other_method_is_not_known() -> None:
    known = "known: paper, official, smoke"
    with pytest.raises(BadInput, match=f"'medical_mae' is not known for mocov3.*{known}"):
        pretraining("mocov3", recipe="medical_mae")


def test_an_unknown_augmentation_is_refused_with_the_nearest() -> None:
    message = "augmentation 'mocov2' is not known .did you mean 'mocov3'.*known: crop, paper"
    with pytest.raises(ValidationError, match=message):
        pretraining("mocov3", augmentation="mocov2")


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_augmentation_may_be_named(name: str) -> None:
    assert pretraining("mae", augmentation=name).augmentation == name


@pytest.mark.parametrize(
    ("epochs", "decay", "before"), [(800, 0.2, 640), (200, 0.2, 160), (3, 0.34, 1), (20, 0.15, 17)]
)
def test_a_trunk_ends_where_the_rate_falls(epochs: int, decay: float, before: int) -> None:
    made = pretraining("mae", epoch_axis="trunk", epochs=epochs, decay=decay, warmup_epochs=1)
    assert made.trunk_epochs == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decay": 0.1}, "decay needs epoch_axis: trunk"),
        ({"epoch_axis": "trunk", "epochs": 40}, "falls after epoch 32, and the warm-up has 40"),
        ({"epoch_axis": "trunk", "epochs": 1, "warmup_epochs": 0}, "falls after epoch 0"),
    ],
)
def test_a_trunk_holds_the_whole_warm_up(given: Values, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        pretraining("mae", **given)


# A method's own settings


def test_each_field_has_one_owner_or_is_of_both() -> None:
    assert {method: {*names} for method, names in OTHERS.items()} == OWN_FIELDS
    assert not OWN_FIELDS["mae"] & OWN_FIELDS["mocov3"]
    assert OWN_FIELDS["mae"] - {"micro_batch"} == MAE.keys() - MOCO.keys()
    assert OWN_FIELDS["mocov3"] == MOCO.keys() - MAE.keys()


@pytest.mark.parametrize(("method", "owner", "name", "value"), NOT_OF)
def test_what_is_of_the_other_method_is_refused(
    method: str, owner: str, name: str, value: Any
) -> None:
    message = f"{name} applies to {owner}, not to {method}: remove it, or set method: {owner}"
    for recipe in SELF_SUPERVISED[method].recipes:
        with pytest.raises(ValidationError, match=message):
            pretraining(method, recipe=recipe, **{name: value})
    assert getattr(pretraining(owner, **{name: value}), name) == value


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_no_recipe_holds_what_is_of_the_other_method(method: str, recipe: str) -> None:
    own = OWN_FIELDS[method]
    foreign = frozenset[str]().union(*OWN_FIELDS.values()) - own
    assert not pretraining(method, recipe=recipe).model_fields_set & foreign


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_a_record_written_out_whole_reads_back(method: str, recipe: str) -> None:
    whole = pretraining(method, recipe=recipe)
    written = whole.model_dump(mode="json")
    assert read_pretraining(written) == whole
    # Older ones hold the other methods' fields too, at their defaults.
    others = {
        name: record.default(name)
        for record in SELF_SUPERVISED.values()
        for name in record.own_fields
    }
    assert read_pretraining(others | written) == whole


# Identity


def identity(method: str, **given: Any) -> str:
    before = {"method": method, "corpora": ["images"], "digest": "of the corpora", **given}
    trial = Trial.model_validate(
        {
            "weights": {"pretraining": before},
            "backbone": {"name": "test_vit"},
            "adaptation": {"method": "end_to_end"},
            "data": {"dataset": "anywhere"},
        }
    )
    (stage,) = starting_stages(trial)
    return stage.fingerprint


@pytest.mark.parametrize("method", ["mae", "mocov3"])
def test_what_is_of_one_method_is_a_part_of_its_identity(method: str) -> None:
    changes = [{}, *({name: value} for name, value in OTHERS[method].items())]
    found = {identity(method, **change) for change in changes}
    assert len(found) == 1 + len(OTHERS[method])


@pytest.mark.parametrize("method", ["mae", "mocov3"])
def test_a_default_that_is_spelt_out_is_no_other_identity(method: str) -> None:
    defaults = {name: SELF_SUPERVISED[method].default(name) for name in OTHERS[method]}
    assert identity(method, **defaults) == identity(method)


@pytest.mark.parametrize("method", ["mae", "mocov3"])
def test_a_stage_reads_its_own_values_again(method: str) -> None:
    """They are validated once more where the work is done."""
    for recipe in SELF_SUPERVISED[method].recipes:
        found = pretraining(method, recipe=recipe, **OTHERS[method])
        assert read_pretraining(found.content()) == found
