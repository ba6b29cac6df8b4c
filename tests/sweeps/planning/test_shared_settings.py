"""Images and training budget: equal for all trials of a study, unless it writes otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Statistics
from fairfm_core.config.trial import Trial
from fairfm_core.errors import BadInput
from sweeps.planning.expansion import StudyTrial, expand, settled
from sweeps.planning.study import StudySpec

VIT = "vit_base_patch16_224"
MAE = {"model": "mae", "file": "mae.pth"}
MAE_M = {"model": "mae_med", "file": "medical.pth"}
OWN = {"pretraining": {"method": "mae", "corpora": ["corpus"]}}
TUNE = {"method": "end_to_end"}
PROBE = {"method": "linear_probe"}


def study(weights: Any, adaptation: Any = TUNE, **changes: Any) -> StudySpec:
    """A study of one network, with the axis `weights`."""
    base = {"data": {"dataset": "d"}, "backbone": {"name": VIT}, "adaptation": adaptation}
    values = {"study": "s", "base": base, "matrix": {"weights": weights}, **changes}
    return StudySpec.model_validate(values)


def by_label(spec: StudySpec) -> dict[str, Trial]:
    return {trial.name.removesuffix(".s0"): trial.trial for trial in expand(spec)}


def terms(trial: Trial) -> tuple[Any, ...]:
    """Crop, statistics, interpolation, epochs and batch."""
    seen, recipe = trial.backbone, trial.adaptation
    return (
        seen.crop_pct,
        seen.normalisation,
        seen.interpolation,
        recipe.epochs,
        recipe.batch_size,
    )


def test_the_papers_main_comparison_is_equal() -> None:
    """Zoo weights were cropped to 0.875 and trained 200 epochs, the others neither."""
    spec = study({"mae": MAE, "own": OWN, "scratch": "scratch"})
    found = {label: terms(trial) for label, trial in by_label(spec).items()}
    assert found == dict.fromkeys(("mae", "own", "scratch"), (0.875, "cxr", "bicubic", 200, 128))
    assert settled(spec).notes == (
        "centre crop 0.875 in evaluation for all trials, as for models of the zoo",
        f"200 epochs for all trials of {VIT} with one recipe",
        f"the paper trains {VIT} for 200 epochs from natural images and 100 epochs from medical "
        "images (section 3.2); here not (budget: by_model does as the paper)",
    )


def test_natural_and_medical_models_train_alike_unless_the_study_follows_the_paper() -> None:
    weights = {"natural": MAE, "medical": MAE_M, "own": OWN}
    equal = by_label(study(weights))
    assert [trial.adaptation.epochs for trial in equal.values()] == [200, 200, 200]
    by_model = study(weights, budget="by_model")
    assert [t.adaptation.epochs for t in by_label(by_model).values()] == [200, 100, 100]
    assert [t.backbone.crop_pct for t in by_label(by_model).values()] == [0.875] * 3
    assert settled(by_model).notes[-1].endswith("(section 3.2); as here (budget: by_model)")


def test_networks_and_recipes_keep_budgets_of_their_own() -> None:
    bit = {"model": "bit", "file": "bit.npz"}
    remedis = {"model": "remedis", "file": "remedis"}
    base = {"data": {"dataset": "d"}}
    spec = study(
        {"mae": MAE, "bit": bit, "remedis": remedis},
        base=base,
        matrix={
            "weights": {"mae": MAE, "bit": bit, "remedis": remedis},
            "adaptation": {"paper": TUNE, "official": {**TUNE, "recipe": "official"}},
        },
    )
    found = {
        label: (trial.adaptation.epochs, trial.adaptation.batch_size)
        for label, trial in by_label(spec).items()
    }
    assert found == {
        "mae.paper": (200, 128),
        "bit.paper": (30, 32),
        "remedis.paper": (30, 32),  # 20 in the paper
        "mae.official": (100, 1024),
        "bit.official": (100, 1024),
        "remedis.official": (100, 1024),
    }


@pytest.mark.parametrize(
    "weights",
    [{"scratch": "scratch", "own": OWN}, {"mae": MAE}, {"a": MAE_M, "b": MAE_M | {"file": "b"}}],
    ids=["random", "natural", "medical"],
)
def test_a_study_that_was_equal_keeps_its_trials(weights: dict[str, Any]) -> None:
    """What a trial is on its own, which is what identities depend on."""
    spec = study(weights)
    for label, trial in by_label(spec).items():
        assert trial == Trial.model_validate({**spec.base, "weights": weights[label], "seed": 0})
    assert settled(spec).notes == ()


def test_what_a_study_writes_itself_stays() -> None:
    weights = {"mae": MAE, "own": OWN}
    spec = study(
        weights,
        {**TUNE, "epochs": 7},
        matrix={"weights": weights, "backbone.crop_pct": [0.9, 1.0]},
        include=[{"name": "long", "weights": OWN, "adaptation": {**TUNE, "epochs": 9}}],
    )
    found = {
        label: (trial.backbone.crop_pct, trial.adaptation.epochs)
        for label, trial in by_label(spec).items()
    }
    assert found == {
        "mae.0.9": (0.9, 7),
        "mae.1.0": (1.0, 7),
        "own.0.9": (0.9, 7),
        "own.1.0": (1.0, 7),
        "long": (1.0, 9),
    }


def test_images_of_the_study_an_axis_and_a_trial() -> None:
    weights = {"mae": MAE, "own": OWN}
    images = {"crop": 0.9, "normalisation": "imagenet", "interpolation": "bilinear"}
    for trial in by_label(study(weights, images=images)).values():
        assert terms(trial)[:3] == (0.9, "imagenet", "bilinear")
    spec = study(
        weights,
        images=images,
        matrix={"weights": weights, "images.crop": {"whole": 1.0, "centre": 0.8}},
        include=[{"name": "grey", "weights": OWN, "images": {"normalisation": "half"}}],
    )
    found = {label: terms(trial)[:2] for label, trial in by_label(spec).items()}
    assert found == {
        "mae.whole": (1.0, "imagenet"),
        "mae.centre": (0.8, "imagenet"),
        "own.whole": (1.0, "imagenet"),
        "own.centre": (0.8, "imagenet"),
        "grey": (0.9, "half"),
    }


def test_numbers_normalise_all_trials() -> None:
    spec = study({"mae": MAE, "own": OWN}, images={"normalisation": {"mean": 0.53, "std": 0.23}})
    given = Statistics(mean=(0.53,), std=(0.23,))
    assert {trial.backbone.normalisation for trial in by_label(spec).values()} == {given}


def test_random_weights_see_what_the_zoos_model_of_the_network_sees() -> None:
    base = {
        "data": {"dataset": "d"},
        "backbone": {"name": "tf_efficientnet_lite0"},
        "adaptation": TUNE,
    }
    spec = study({"imagenet": "effnet_lite0", "scratch": "scratch"}, base=base)
    found = {label: terms(trial)[:2] for label, trial in by_label(spec).items()}
    assert found == dict.fromkeys(("imagenet", "scratch"), (0.875, "half"))


@pytest.mark.parametrize("method", [TUNE, PROBE], ids=["tune", "probe"])
def test_official_natural_models_use_the_statistics_of_imagenet(method: dict[str, Any]) -> None:
    official = {**method, "recipe": "official"}
    natural = by_label(study({"mae": MAE, "own": OWN}, official))
    assert {trial.backbone.normalisation for trial in natural.values()} == {"imagenet"}
    mixed = by_label(study({"mae": MAE, "medical": MAE_M, "own": OWN}, official))
    assert [trial.backbone.normalisation for trial in mixed.values()] == ["imagenet", "cxr", "cxr"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": {"crop": 224}}, r"above 0 and up to 1, not 224; resizing to 256 .* is 0\.875"),
        ({"images": {"crop": 0}}, "above 0 and up to 1"),
        ({"images": {"cropp": 0.5}}, "cropp"),
        ({"images": {"normalisation": "cxrr"}}, r"'cxrr' is not known \(did you mean 'cxr'"),
        ({"images": {"normalisation": {"mean": 128, "std": 64}}}, "divide .* by 255"),
        ({"images": {"interpolation": "cubic"}}, r"did you mean 'bicubic'"),
        (
            {"budget": "equals"},
            r"budget 'equals' is not known \(did you mean 'equal'\?\); known: equal",
        ),
        ({"base": {"images": {"crop": 0.9}}}, "write `images` beside `base`"),
        (
            {"base": {"backbone": {"crop_pct": 1.0}}, "images": {"crop": 0.9}},
            r"base\.backbone\.crop_pct is 1\.0 and images says 0\.9; leave one out",
        ),
    ],
)
def test_wrong_images_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study({"mae": MAE}, **changes)


def test_wrong_images_of_an_axis_are_refused() -> None:
    spec = study({}, matrix={"weights": {"mae": MAE}, "images.crop": [2]})
    with pytest.raises(BadInput, match=r"images: crop: .*up to 1, not 2"):
        expand(spec)


def test_other_mistakes_are_named_with_their_trial() -> None:
    with pytest.raises(BadInput, match=r"study s, trial a\.s0: .*'maee' are not known"):
        expand(study({"a": "maee"}))


def test_every_trial_of_a_plan_has_one_seed_per_cell() -> None:
    trials: list[StudyTrial] = expand(study({"mae": MAE, "own": OWN}, seeds=[0, 1]))
    assert [trial.name for trial in trials] == ["mae.s0", "mae.s1", "own.s0", "own.s1"]
    assert all(isinstance(trial.trial.adaptation, EndToEnd) for trial in trials)
