import numpy as np
import pandas as pd
import pytest

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.ensembles.ensemble import (
    COMBINATIONS,
    PAPER_ENSEMBLES,
    PAPER_MODELS,
    EnsembleRule,
    combined,
    members_of,
)
from fairfm_core.evaluation.predictions import Predictions, read_predictions, write_predictions

TABLE_3 = {
    "ViT (Masked)": ("MAE", "MAE (M)"),
    "ViT (Contrastive)": ("MoCov3", "MoCov3 (M)"),
    "ResNet (Contrastive)": ("BiT", "REMEDIS"),
    "Natural Imaging": ("MAE", "MoCov3", "BiT"),
    "Medical Imaging": ("MAE (M)", "MoCov3 (M)", "REMEDIS"),
    "All Foundation Models": ("MAE", "MAE (M)", "MoCov3", "MoCov3 (M)", "BiT", "REMEDIS"),
}


def by_hand(scores, combine):
    """float32 scores of an ensemble, one image at a time."""
    found = []
    for image in zip(*(np.asarray(each, dtype=np.float64) for each in scores), strict=True):
        if combine == "logit":
            kept = [min(max(p, 1e-7), 1 - 1e-7) for p in image]
            mean = sum(np.log(p / (1 - p)) for p in kept) / len(kept)
            found.append(1 / (1 + np.exp(-mean)))
        else:
            found.append(sum(image) / len(image))
    return np.array(found).astype(np.float32)


@pytest.fixture
def frames(make_frame):
    """Three models of the same images."""
    return [
        pd.concat([make_frame(60, "val", 1, model=m), make_frame(80, "test", 2, model=m)])
        for m in range(3)
    ]


def test_the_six_ensembles_of_table_3_follow_from_their_rules():
    assert {rule.name: members_of(rule, PAPER_MODELS) for rule in PAPER_ENSEMBLES} == TABLE_3


def test_rules_apply_to_any_models_and_refuse_what_they_cannot_use():
    models = {"a": {"domain": "natural"}, "b": {"domain": "medical"}, "c": {"domain": "medical"}}
    assert members_of(EnsembleRule("both", {"domain": ("medical", "natural")}), models) == tuple(
        "abc"
    )
    with pytest.raises(BadInput, match=r"'one' has 1 of 3 models \(a\); it needs two"):
        members_of(EnsembleRule("one", {"domain": ("natural",)}), models)
    with pytest.raises(BadInput, match=r"no property 'domian' \(did you mean 'domain'\?\)"):
        members_of(EnsembleRule("typo", {"domian": ("natural",)}), models)


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_an_ensemble_is_the_mean_of_its_members(frames, combine):
    given = [Predictions(frame.sample(frac=1, random_state=n)) for n, frame in enumerate(frames)]
    ensemble = combined(given, combine)
    plain = [frame.sort_values(["split", "image_id"], ignore_index=True) for frame in frames]
    for name in ("Edema", "Fracture"):
        column = ensemble.frame[f"p_{name}"]
        assert column.dtype == np.float32
        expected = by_hand([frame[f"p_{name}"] for frame in plain], combine)
        np.testing.assert_array_max_ulp(column.to_numpy(), expected, 1)
        pd.testing.assert_series_equal(
            ensemble.frame[f"y_{name}"], plain[0][f"y_{name}"], check_dtype=False
        )
    for name in ("image_id", "patient_id", "split", "sex", "race", "age"):
        assert ensemble.frame[name].tolist() == plain[0][name].tolist()


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_an_ensemble_is_written_and_read_like_any_model(frames, combine, tmp_path):
    ensemble = combined([Predictions(frame) for frame in frames], combine)
    write_predictions(ensemble.frame, tmp_path / "ensemble.parquet")
    again = read_predictions(tmp_path / "ensemble.parquet")
    pd.testing.assert_frame_equal(again.frame, ensemble.frame[again.frame.columns])


def test_scores_of_0_and_1_have_a_mean_logit(frames):
    sure = [frames[0].assign(p_Edema=value) for value in (0.0, -0.0, 1.0)]
    for frame in sure:
        frame["p_Edema"] = frame["p_Edema"].astype(np.float32)
    ensemble = combined([Predictions(frame) for frame in sure], "logit")
    assert ensemble.frame["p_Edema"].between(0.001, 0.01).all()
    none = combined([Predictions(frame) for frame in sure[:2]], "probability")
    assert not np.signbit(none.frame["p_Edema"]).any()


def test_members_may_differ_in_types_and_order_of_columns(frames):
    whole = [frame.assign(y_Edema=frame["y_Edema"].fillna(0.0)) for frame in frames]
    other = whole[1].astype({"y_Edema": np.int8, "p_Edema": np.float64, "race": object})
    other = other[[*reversed(other.columns)]]
    expected = combined([Predictions(frame) for frame in whole[:2]], "probability")
    found = combined([Predictions(whole[0]), Predictions(other)], "probability")
    pd.testing.assert_frame_equal(found.frame, expected.frame)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.iloc[1:], "mae and moco cannot be paired: they predict different images"),
        (lambda f: f.assign(y_Edema=1.0), "cannot be paired: 'y_Edema' differs"),
        (lambda f: f.assign(race="Black"), "cannot be paired: 'race' differs (image "),
        (lambda f: f.drop(columns="age"), "cannot be paired: only one has the attribute age"),
        (
            lambda f: f.drop(columns=["y_Edema", "p_Edema"]),
            "cannot be paired: they predict different pathologies (Edema)",
        ),
    ],
)
def test_members_that_do_not_pair_are_refused_with_the_culprits(frames, change, said):
    members = [Predictions(frames[0]), Predictions(change(frames[1]))]
    with pytest.raises(BadInput) as error:
        combined(members, "probability", ["mae", "moco"])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_ensemble_needs_two_members_and_a_known_combination(frames):
    members = [Predictions(frame) for frame in frames]
    with pytest.raises(BadInput, match="two or more members; 1 given"):
        combined(members[:1], "probability")
    with pytest.raises(BadInput, match=r"'logits' \(did you mean 'logit'\?\); known: prob"):
        combined(members, "logits")
