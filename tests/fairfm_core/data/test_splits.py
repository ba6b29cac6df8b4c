"""Splits: patients stay together, the seed and the patients decide, official lists are kept."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfm_core.data.splits import SPLIT_NAMES, listed_split, random_split
from fairfm_core.errors import BadInput


def images(patients: int, each: int = 2) -> pd.DataFrame:
    ids = [i for i in range(patients) for _ in range(each)]
    return pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(len(ids))],
            "patient_id": [f"p{i}" for i in ids],
            "sex": ["F" if i % 3 else "M" for i in ids],
            "race": [None if i % 5 == 0 else "Black" if i % 7 == 0 else "White" for i in ids],
        }
    )


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    patients=st.integers(1, 60),
    each=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    shuffle=st.randoms(use_true_random=False),
)
def test_patients_stay_together_whatever_the_order_of_rows(patients, each, seed, shuffle) -> None:
    frame = images(patients, each)
    split = random_split(frame, seed)
    assert split.index.equals(frame.index)
    assert split.isin(["train", "val", "test"]).all()
    assert split.groupby(frame["patient_id"]).nunique().max() == 1
    order = list(frame.index)
    shuffle.shuffle(order)
    again = random_split(frame.loc[order], seed)
    assert again.loc[frame.index].tolist() == split.tolist()


def test_each_stratum_has_its_shares() -> None:
    frame = images(2000, 1)
    split = random_split(frame, 3)
    strata = [frame["sex"], frame["race"].fillna("null")]
    for _, part in split.groupby(strata):
        share = part.value_counts() / len(part)
        assert abs(share["train"] - 0.6) * len(part) <= 2
        assert abs(share["val"] - 0.1) * len(part) <= 2


def test_seeds_differ_and_a_seed_repeats() -> None:
    frame = images(200)
    assert random_split(frame, 1).tolist() == random_split(frame, 1).tolist()
    assert random_split(frame, 1).tolist() != random_split(frame, 2).tolist()


@pytest.mark.parametrize(
    ("stratify", "pinned"),
    [
        (("sex", "race"), "TTTTT..vTTT..vvTTvv.TTTTT..TTTv"),
        ((), "T..T.TT.TTT.TTTTTT.vvT..vT.TTT."),
    ],
)
def test_the_split_of_a_cohort_is_pinned(stratify, pinned) -> None:
    """Another split of the same patients moves every number of every study: T, v and . of each."""
    frame = images(30, 1)
    frame.loc[len(frame)] = {"image_id": "i30", "patient_id": "p7", "sex": "F", "race": "White"}
    split = random_split(frame, 7, stratify=stratify)
    assert "".join(split.map({"train": "T", "val": "v", "test": "."})) == pinned
    assert split.name == "split"
    shuffled = random_split(frame.sample(frac=1, random_state=0), 7, stratify=stratify)
    assert shuffled.loc[frame.index].equals(split)


def test_small_strata_do_not_all_fall_to_training() -> None:
    frame = images(400, 1).assign(site=lambda f: f["patient_id"])
    split = random_split(frame, 0, stratify=("site",))
    assert 0.5 < (split == "train").mean() < 0.7


def test_attributes_that_are_absent_are_not_needed() -> None:
    frame = images(50)[["image_id", "patient_id"]]
    assert random_split(frame, 0).notna().all()


def test_a_share_of_zero_gets_nobody() -> None:
    assert set(random_split(images(300), 0, (0.7, 0.3, 0.0))) == {"train", "val"}


@pytest.mark.parametrize(
    "fractions", [(0.5, 0.5), (0.6, 0.1, 0.4), (1.2, -0.2, 0.0), (0.0, 0.5, 0.5)]
)
def test_fractions_that_are_no_shares_are_refused(fractions) -> None:
    given = " ".join(f"{share:g}" for share in fractions)
    with pytest.raises(BadInput, match=f"^fractions {given}: give"):
        random_split(images(5), 0, fractions)


def test_official_lists_are_kept_and_train_val_is_divided_by_patient() -> None:
    frame = images(140)
    test = set(frame["image_id"][frame["patient_id"].isin([f"p{i}" for i in range(40)])])
    unlisted = set(frame["image_id"][frame["patient_id"] == "p139"])
    lists = {"test": test, "train_val": set(frame["image_id"]) - test - unlisted}
    split = listed_split(frame, lists, seed=5)
    assert set(frame["image_id"][split == "test"]) == test
    assert set(frame["image_id"][split.isna()]) == unlisted
    assert split.groupby(frame["patient_id"]).nunique().max() == 1
    assert 10 <= (split == "val").sum() / 2 <= 18  # a seventh of 99 patients
    shuffled = frame.sample(frac=1, random_state=0)
    assert listed_split(shuffled, lists, seed=5).loc[frame.index].equals(split)


def test_the_seed_of_a_listed_split_is_0_unless_given() -> None:
    frame = images(60)
    lists = {"train_val": set(frame["image_id"])}
    split = listed_split(frame, lists)
    assert split.name == "split"
    assert split.equals(listed_split(frame, lists, seed=0))
    assert not split.equals(listed_split(frame, lists, seed=1))


def test_lists_of_three_splits_need_no_seed() -> None:
    frame = images(3, 1)
    lists = {"train": {"i0"}, "val": {"i1"}, "test": {"i2", "absent"}}
    assert listed_split(frame, lists).tolist() == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"trian": {"i0"}}, "did you mean 'train'"),
        ({"train": {"i0", "i1"}, "test": {"i1"}}, r"1 image\(s\) are on two split lists: i1"),
        ({"train": {"other"}}, "none of the 6 images is on a split list"),
    ],
)
def test_bad_lists_are_refused(lists, message) -> None:
    with pytest.raises(BadInput, match=message):
        listed_split(images(3), lists)


def test_images_on_two_lists_are_named_in_order() -> None:
    both = {f"i{k}" for k in range(9)}
    with pytest.raises(BadInput, match="i0, i1, i2, i3, i4, i5, i6, i7, i8"):
        listed_split(images(9), {"train": both, "test": both})


def test_the_names_of_published_lists_lead_to_our_splits() -> None:
    published = ["train", "validate", "val", "test"]
    assert [SPLIT_NAMES[name] for name in published] == ["train", "val", "val", "test"]
    assert len(SPLIT_NAMES) == 4
