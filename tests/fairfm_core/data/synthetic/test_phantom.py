"""Phantoms: fair at effect 0, unfair by a known amount otherwise, the same patients in both."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.data.cohort import cohort_digest
from fairfm_core.data.readers.source import ReadOptions
from fairfm_core.data.synthetic.phantom import draw_phantom, phantom_cohort, read_phantom
from fairfm_core.data.synthetic.phantom_world import (
    GROUPS,
    PREVALENCE,
    WORLDS,
    PhantomWorld,
    load_world,
)
from fairfm_core.errors import BadInput

LABELS = [f"y_{name}" for name in PREVALENCE]
BEFORE_SHARES = {
    "unfair": (
        "0b712a8fa4da5aadc7f3752e11a36808c002397ad6bcb19344fec53f542e4257",
        "f16d9ad1f2421232bb99",
    ),
    "fair": (
        "54e6ed3c29acc8e31c3cf37fab4536c4d5dcad1d83393703a7d992785a36b49b",
        "610ce68c25d0c4438b1e",
    ),
}
"""Cohort digest and the origin's fingerprint (40 patients, 32 pixels) before there were shares."""


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


@pytest.mark.slow
def test_a_linear_model_learns_the_signs_and_meets_the_planted_gaps() -> None:
    unfair = aucs_by_group(PhantomWorld(patients=5000), trained=600)
    assert 0.7 < unfair["all"] < 0.9
    assert 0.06 < unfair["White"] - unfair["Black"] < 0.2
    assert unfair["M"] > unfair["F"]
    fair = aucs_by_group(PhantomWorld(patients=5000, effect=0), trained=600)
    assert abs(fair["White"] - fair["Black"]) < 0.04
    assert abs(fair["M"] - fair["F"]) < 0.03


@pytest.mark.parametrize("name", BEFORE_SHARES)
def test_worlds_of_usual_shares_are_what_they_were(name: str) -> None:
    found = read_phantom(name, ReadOptions(patients=40, size=32))
    origin = dict(found.origin)
    assert (cohort_digest(found.frame), fingerprint(origin)) == BEFORE_SHARES[name]
    said = PhantomWorld(shares={"race": {"Black": 0.07, "White": 0.78, "Asian": 0.15}})
    assert said == PhantomWorld()


def test_shares_of_a_world_are_realised() -> None:
    n = 6000
    skewed = load_world("skewed", patients=n)
    patients = phantom_cohort(skewed).drop_duplicates("patient_id")
    for attribute, share in (("race", skewed.shares["race"]), ("sex", GROUPS["sex"])):
        observed = patients[attribute].value_counts()
        for group, expected in share.items():
            error = np.sqrt(n * expected * (1 - expected))
            assert observed[group] == pytest.approx(n * expected, abs=4 * error)


def test_shares_change_who_the_patients_are_and_nothing_else() -> None:
    usual = PhantomWorld(patients=60, effect=0)
    other = PhantomWorld(patients=60, effect=0, shares={"race": {"Black": 1.0}})
    frame, same = phantom_cohort(usual), phantom_cohort(other)
    assert set(same["race"]) == {"Black"}
    pd.testing.assert_frame_equal(same.drop(columns="race"), frame.drop(columns="race"))
    np.testing.assert_array_equal(draw_phantom(other, same), draw_phantom(usual, frame))


def test_the_skewed_world_has_other_patients_and_says_its_shares() -> None:
    found = read_phantom("skewed", ReadOptions(patients=4, size=16))
    assert found.origin["world"]["shares"]["race"] == {"White": 0.9, "Asian": 0.07, "Black": 0.03}
    seeds = {name: world.seed for name, world in WORLDS.items()}
    assert seeds["skewed"] not in (seeds["unfair"], seeds["fair"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-0.5, 1.5), min_size=3, max_size=3))
def test_shares_are_taken_where_they_are_shares(shares: list[float]) -> None:
    asked = dict(zip(GROUPS["race"], shares, strict=True))
    good = min(shares) >= 0 and abs(sum(shares) - 1) <= 1e-6
    with nullcontext() if good else pytest.raises(BadInput, match=r"shares of race \([^\n]*$"):
        world = load_world("fair", shares={"race": asked})
        assert world.shares["race"] == {group: share for group, share in asked.items() if share}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100), st.integers(0, 100))
def test_whole_percents_are_shares_and_a_group_of_none_is_empty(one: int, two: int) -> None:
    low, high = sorted((one, two))
    percents = dict(zip(GROUPS["race"], (low, high - low, 100 - high), strict=True))
    shares = {group: percent / 100 for group, percent in percents.items()}
    world = load_world("fair", patients=50, shares={"race": shares})
    races = set(phantom_cohort(world)["race"])
    assert races <= {group for group, percent in percents.items() if percent}


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
        ("effect: -1", "effect: must be at least 0, not -1"),
        ("contrast: {Oedema: 1}", "did you mean 'Edema'"),
        ("prevalence: {Edema: 1.5}", "prevalence of Edema must lie between"),
        ("planted: {height: {}}", "attribute 'height' is unknown; known: sex, race"),
        ("planted: {race: {Purple: {}}}", "race 'Purple' is unknown"),
        ("planted: {race: {Black: {nois: 1}}}", "did you mean 'noise'"),
        ("shares: {race: {Purple: 1}}", "race 'Purple' is unknown; known: White, Asian, Black"),
        ("shares: {height: {}}", "attribute 'height' is unknown; known: sex, race"),
        ("shares: {race: {White: 0.5}}", r"shares of race \(White 0.5\) must not be .*sum to 1"),
        ("shares: {sex: {M: 1.5, F: -0.5}}", "shares of sex .*groups: M, F"),
        ("shares: {sex: {}}", r"shares of sex \(none\)"),
        ("shares: {sex: {M: .nan, F: 1}}", "shares.sex.M: must be a finite number, not nan"),
        ("shares: {sex: {M: much}}", "shares.sex.M: must be a number, not"),
        ("seed: 1\nseed: 2", "'seed' is repeated"),
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
    with pytest.raises(
        BadInput, match=r"did you mean 'unfair'.*known worlds: unfair, fair, skewed"
    ):
        load_world("unfairr")
