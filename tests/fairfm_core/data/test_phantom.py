"""Phantoms: fair at effect 0, unfair by a known amount otherwise, the same patients in both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fairfm_core.data.phantom import draw_phantom, phantom_cohort
from fairfm_core.data.phantom_world import GROUPS, PREVALENCE, WORLDS, PhantomWorld, load_world
from fairfm_core.errors import BadInput

LABELS = [f"y_{name}" for name in PREVALENCE]


def test_the_table_has_the_shares_that_were_asked() -> None:
    frame = phantom_cohort(PhantomWorld(patients=8000, effect=0))
    patients = frame.drop_duplicates("patient_id")
    for attribute, shares in GROUPS.items():
        observed = patients[attribute].value_counts(normalize=True)
        for group, share in shares.items():
            assert observed[group] == pytest.approx(share, abs=0.02)
    each = frame["patient_id"].value_counts()
    assert each.min() == 1
    assert each.max() == 5
    assert each.mean() == pytest.approx(2, abs=0.1)
    assert patients["age"].between(18, 90).all()
    assert patients["age"].mean() == pytest.approx(62, abs=1)
    for name, share in PREVALENCE.items():
        assert frame[f"y_{name}"].mean() == pytest.approx(share, abs=0.025)


def test_images_of_one_patient_share_labels_more_than_strangers_do() -> None:
    frame = phantom_cohort(PhantomWorld(patients=4000, effect=0))
    pairs = frame[frame["image_id"].str.endswith(("_1", "_2"))].groupby("patient_id")
    both = pairs["y_Pleural Effusion"].agg(["size", "sum"]).query("size == 2")["sum"]
    share = frame["y_Pleural Effusion"].mean()
    assert (both == 2).mean() > share**2 + 0.02


def test_in_a_fair_world_attributes_change_no_pixel_and_no_label() -> None:
    world = PhantomWorld(patients=30, effect=0)
    frame = phantom_cohort(world)
    images = draw_phantom(world, frame)
    other = frame.assign(race="Black", sex="F", age=20.0)
    np.testing.assert_array_equal(draw_phantom(world, other), images)
    unplanted = PhantomWorld(patients=30, effect=1, planted={})
    pd.testing.assert_frame_equal(phantom_cohort(unplanted), frame)
    np.testing.assert_array_equal(draw_phantom(unplanted, frame), images)


def test_in_an_unfair_world_only_disadvantaged_groups_change() -> None:
    fair, unfair = PhantomWorld(patients=60, effect=0), PhantomWorld(patients=60)
    frame = phantom_cohort(fair)
    same = phantom_cohort(unfair)
    pd.testing.assert_frame_equal(same.drop(columns=LABELS), frame.drop(columns=LABELS))
    reference = ((frame["sex"] == "M") & (frame["race"] != "Black")).to_numpy()
    pd.testing.assert_frame_equal(same[reference], frame[reference])
    before, after = draw_phantom(fair, frame), draw_phantom(unfair, frame)
    differs = (before != after).any(axis=(1, 2))
    assert not differs[reference].any()
    assert differs[~reference].all()


def test_planted_prevalence_moves_the_group() -> None:
    planted = {"race": {"Asian": {"prevalence": 1.5}}}
    frame = phantom_cohort(PhantomWorld(patients=6000, planted=planted))
    by_race = frame.groupby("race")["y_Edema"].mean()
    assert by_race["Asian"] > by_race["White"] + 0.15
    assert by_race["Black"] == pytest.approx(by_race["White"], abs=0.06)


def test_an_image_depends_on_its_row_alone() -> None:
    world = PhantomWorld(patients=40)
    frame = phantom_cohort(world)
    images = draw_phantom(world, frame)
    some = [5, 31, 2]
    np.testing.assert_array_equal(draw_phantom(world, frame.iloc[some]), images[some])
    larger = phantom_cohort(PhantomWorld(patients=80)).iloc[: len(frame)]
    pd.testing.assert_frame_equal(larger, frame)
    assert not np.array_equal(draw_phantom(PhantomWorld(patients=40, seed=1), frame), images)


def test_a_patients_images_look_alike() -> None:
    world = PhantomWorld(patients=80, effect=0, noise=0.0)
    frame = phantom_cohort(world).assign(**dict.fromkeys(LABELS, 0.0))
    images = draw_phantom(world, frame).reshape(len(frame), -1).astype(float)
    patient = frame["patient_id"].to_numpy()
    near = np.corrcoef(images)
    same = (patient[:, None] == patient) & ~np.eye(len(frame), dtype=bool)
    assert near[same].mean() > near[patient[:, None] != patient].mean()


@pytest.mark.parametrize("name", PREVALENCE)
def test_every_sign_is_drawn_and_its_contrast_counts(name: str) -> None:
    frame = phantom_cohort(PhantomWorld(patients=5)).iloc[:5]
    healthy = frame.assign(**dict.fromkeys(LABELS, 0.0))
    ill = healthy.assign(**{f"y_{name}": 1.0})

    def change(contrast: float) -> float:
        world = PhantomWorld(effect=0, contrast={name: contrast}, noise=0.0)
        drawn = [draw_phantom(world, rows).astype(float) for rows in (ill, healthy)]
        return float(np.abs(drawn[0] - drawn[1]).mean())

    assert change(0.0) == 0.0
    assert change(2.0) > change(0.5) > 0.0


def test_the_picture_is_the_same_at_every_size() -> None:
    frame = phantom_cohort(PhantomWorld(patients=4))
    small = draw_phantom(PhantomWorld(), frame)
    large = draw_phantom(PhantomWorld(image_size=128), frame)
    assert large.shape[1:] == (128, 128)
    halved = large.reshape(-1, 64, 2, 64, 2).mean((2, 4))
    assert np.corrcoef(halved.ravel(), small.ravel())[0, 1] > 0.97


def aucs_by_group(world: PhantomWorld, trained: int) -> pd.Series:
    """Mean AUC over pathologies of a linear model, by group of patients it was not fitted to."""
    frame = phantom_cohort(world)
    # Everybody for the fit, then all Black patients but only as many others as the clock allows.
    used = (frame["patient_id"] < f"p{trained + 900:06d}") | (frame["race"] == "Black")
    frame = frame[used].reset_index(drop=True)
    images = draw_phantom(world, frame)
    coarse = images.reshape(-1, 16, 4, 16, 4).mean((2, 4)).reshape(len(frame), -1) / 255
    known = (frame["patient_id"] < f"p{trained:06d}").to_numpy()
    parts = PCA(60, random_state=0).fit(coarse[known]).transform(coarse)
    parts /= parts[known].std(axis=0)
    groups = {"all": ~known} | {
        group: ~known & (frame[attribute] == group).to_numpy()
        for attribute, shares in GROUPS.items()
        for group in shares
    }
    found = []
    for label in LABELS:
        y = frame[label].to_numpy()
        scores = LogisticRegression(C=0.01).fit(parts[known], y[known]).decision_function(parts)
        found.append({name: roc_auc_score(y[at], scores[at]) for name, at in groups.items()})
    return pd.DataFrame(found).mean()


def test_a_linear_model_learns_the_signs_and_meets_the_planted_gaps() -> None:
    unfair = aucs_by_group(PhantomWorld(patients=5000), trained=600)
    assert 0.7 < unfair["all"] < 0.9
    assert 0.06 < unfair["White"] - unfair["Black"] < 0.2
    assert unfair["M"] > unfair["F"]
    fair = aucs_by_group(PhantomWorld(patients=5000, effect=0), trained=600)
    assert abs(fair["White"] - fair["Black"]) < 0.04
    assert abs(fair["M"] - fair["F"]) < 0.03


def test_worlds_are_named_or_written_in_yaml(tmp_path) -> None:
    assert load_world("fair") == WORLDS["fair"]
    assert load_world("unfair", effect=None, patients=7).patients == 7
    path = tmp_path / "world.yaml"
    path.write_text("patients: 9\ncontrast: {Edema: 0.5}\nplanted: {sex: {F: {noise: 1}}}\n")
    world = load_world(path, seed=4)
    assert (world.patients, world.seed, world.contrast["Edema"]) == (9, 4, 0.5)
    assert world.contrast["Atelectasis"] == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patiens: 9", "unknown key 'patiens'.*did you mean 'patients'"),
        ("effect: -1", "effect: Input should be greater"),
        ("contrast: {Oedema: 1}", "did you mean 'Edema'"),
        ("prevalence: {Edema: 1.5}", "prevalence of Edema must lie between"),
        ("planted: {height: {}}", "attribute 'height' is unknown; known: sex, race"),
        ("planted: {race: {Purple: {}}}", "race 'Purple' is unknown"),
        ("planted: {race: {Black: {nois: 1}}}", "did you mean 'noise'"),
        ("seed: 1\nseed: 2", "'seed' stands twice"),
        ("- 1", "must hold a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_bad_worlds_are_refused_in_one_line(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "world.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        load_world(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_world_is_named_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"did you mean 'unfair'.*known worlds: unfair, fair"):
        load_world("unfairr")
