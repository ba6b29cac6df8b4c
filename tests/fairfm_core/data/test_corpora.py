"""Pre-training corpora: unions and nested fractions by patient, clean of evaluation patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfm_core.data.corpora import Corpus, Count, corpus_text, pretraining_corpus
from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.manifest import Digests, Manifest
from fairfm_core.errors import BadInput


def prepared(
    frame: pd.DataFrame, kind: str = "table", digest: str = "d", source: str | None = None
) -> PreparedData:
    source = source or digest
    manifest = Manifest(
        kind=kind,
        size=16,
        interpolation="bicubic",
        counts={},
        notes={},
        origin={"table_sha256": source, "world": {"seed": source}},
        digests=Digests(images=digest, cohort=digest),
        request="r",
    )
    pixels = np.zeros((len(frame), 16, 16), dtype=np.uint8)
    return PreparedData(Path("here"), frame, pixels, digest, 16, ("Edema",), (), manifest)


def cohort(patients: list[int], splits: list[str | None] | None = None) -> pd.DataFrame:
    """One row per entry of `patients`; a patient's split is taken from `splits` by its number."""
    splits = splits or ["train"]
    return pd.DataFrame(
        {
            "image_id": [f"i{n:04d}" for n in range(len(patients))],
            "patient_id": [f"p{each}" for each in patients],
            "split": pd.Series([splits[each % len(splits)] for each in patients], dtype="str"),
            "row": np.arange(len(patients)),
        }
    )


def ids(corpus: Corpus, datasets: dict[str, PreparedData]) -> set[tuple[str, str]]:
    """(data set, image) of everything in the corpus."""
    return {
        (name, image)
        for name, rows in corpus.rows.items()
        for image in datasets[name].frame.set_index("row").loc[rows, "image_id"]
    }


patients = st.lists(st.integers(0, 30), min_size=1, max_size=80)
fractions = st.floats(0.01, 1.0)


@settings(max_examples=80, deadline=None)
@given(patients, patients, fractions, fractions, st.integers(0, 50))
def test_a_smaller_fraction_is_inside_a_larger_one(one, two, first, second, seed) -> None:
    data = {"a": prepared(cohort(one), digest="1"), "b": prepared(cohort(two), digest="2")}
    small, large = sorted((first, second))
    try:
        inner = ids(pretraining_corpus(data, {}, fraction=small, seed=seed), data)
    except BadInput:  # so small that nobody is left
        return
    outer = ids(pretraining_corpus(data, {}, fraction=large, seed=seed), data)
    assert inner <= outer <= ids(pretraining_corpus(data, {}), data)
    for name, numbers in (("a", one), ("b", two)):  # whole patients
        inside = {image for each, image in outer if each == name}
        frame = cohort(numbers)
        of_patients = frame[frame["image_id"].isin(inside)]["patient_id"].unique()
        assert set(frame[frame["patient_id"].isin(of_patients)]["image_id"]) == inside


@settings(max_examples=80, deadline=None)
@given(patients, fractions, st.integers(0, 50))
def test_no_evaluation_patient_is_left(numbers, fraction, seed) -> None:
    evaluation = cohort(list(range(0, 31, 2)), ["train", "val", "test", None])
    judged = set(evaluation.loc[evaluation["split"].isin(["val", "test"]), "patient_id"])
    data = {"a": prepared(cohort(numbers), digest="1"), "b": prepared(cohort(numbers), digest="2")}
    given_set = {"a": prepared(evaluation, digest="1")}
    try:
        clean = pretraining_corpus(data, given_set, fraction=fraction, seed=seed)
    except BadInput:
        return
    with_all = pretraining_corpus(
        data, given_set, fraction=fraction, seed=seed, exclude_eval_patients=False
    )
    kept = data["a"].frame.set_index("row").loc[clean.rows["a"], "patient_id"]
    assert not set(kept) & judged
    assert clean.overlap["a"] == Count(0, 0)
    removed = ids(with_all, data) - ids(clean, data)
    assert len(removed) == with_all.overlap["a"].images == clean.excluded["a"].images
    assert with_all.overlap["a"] == clean.excluded["a"]
    assert with_all.excluded["a"] == Count(0, 0)
    assert {name for name, _ in removed} <= {"a"}  # the same ids elsewhere are other people
    assert clean.images + len(removed) == with_all.images


@settings(max_examples=40, deadline=None)
@given(patients, fractions, st.randoms(use_true_random=False))
def test_row_order_plays_no_part(numbers, fraction, shuffle) -> None:
    numbers = [*numbers, *range(31)]
    frame = cohort(numbers, ["train", "test", "train"])
    order = list(range(len(frame)))
    shuffle.shuffle(order)
    evaluation = {"a": prepared(frame)}
    again = prepared(frame.iloc[order].assign(row=np.arange(len(frame))))
    try:
        one = pretraining_corpus({"a": prepared(frame)}, evaluation, fraction=fraction)
    except BadInput:
        return
    two = pretraining_corpus({"a": again}, evaluation, fraction=fraction)
    assert ids(one, evaluation) == ids(two, {"a": again})
    assert one.counts == two.counts
    assert one.digest == two.digest
    assert (np.diff(two.rows["a"]) > 0).all()


def test_a_fraction_is_a_share_of_patients() -> None:
    data = {"a": prepared(cohort([n // 3 for n in range(30_000)]))}
    counts = pretraining_corpus(data, {}, fraction=0.3).counts["a"]
    assert counts.patients == pytest.approx(3000, abs=4 * np.sqrt(10_000 * 0.3 * 0.7))
    assert counts.images == 3 * counts.patients
    assert pretraining_corpus(data, {}).counts["a"] == Count(10_000, 30_000)
    other = pretraining_corpus(data, {}, fraction=0.3, seed=1)
    assert other.rows["a"].tolist() != pretraining_corpus(data, {}, fraction=0.3).rows["a"].tolist()


def test_identity_is_the_images_and_not_the_names() -> None:
    one, two = prepared(cohort([1, 2, 3]), digest="1"), prepared(cohort([1, 2]), digest="2")
    union = pretraining_corpus({"nih": one, "chexpert": two}, {})
    assert (union.images, union.patients) == (5, 5)
    assert pretraining_corpus({"x": two, "y": one}, {}).digest == union.digest
    assert pretraining_corpus({"nih": one}, {}).digest != union.digest
    tested = prepared(cohort([1, 2, 3], ["train", "test"]), digest="1")
    judged = pretraining_corpus({"nih": one, "chexpert": two}, {"nih": tested})
    assert judged.digest != union.digest
    assert corpus_text(judged) == (
        "nih: 1 images of 1 patients; 2 images of 2 validation and test patients left out\n"
        "chexpert: 2 images of 2 patients"
    )


def test_one_source_under_two_names_is_refused() -> None:
    """Else test patients could pass under another name."""
    everyone = prepared(cohort([1, 2]), "chexpert", "1")
    tested = prepared(cohort([1, 2], ["train", "test"]), "chexpert", "2")
    assert pretraining_corpus({"chexpert": everyone}, {"chexpert": tested}).images == 1
    with pytest.raises(BadInput, match="'chexpert' and 'cxpt' are of one source"):
        pretraining_corpus({"chexpert": everyone}, {"cxpt": tested})
    with pytest.raises(BadInput, match="one source"):
        pretraining_corpus({"a": everyone, "b": tested}, {})
    phantoms = [prepared(cohort([1]), "phantom", digest) for digest in "12"]
    assert pretraining_corpus({"a": phantoms[0], "b": phantoms[1]}, {}).images == 2


def test_one_table_prepared_twice_is_one_source() -> None:
    """Another size or split makes another digest of the same patients."""
    small = prepared(cohort([1, 2], ["train", "test"]), digest="16 px", source="t.csv")
    large = prepared(cohort([1, 2], ["train", "test"]), digest="32 px", source="t.csv")
    with pytest.raises(BadInput, match="one source"):
        pretraining_corpus({"large": large}, {"small": small})
    assert pretraining_corpus({"retina": large}, {"retina": small}).images == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fraction": 0.0}, "fraction 0 of a corpus: expected above 0 and up to 1"),
        ({"fraction": 1.5}, "fraction 1.5"),
        ({"fraction": float("nan")}, "fraction nan"),
        ({"datasets": {}}, "at least one prepared data set"),
    ],
)
def test_what_cannot_be_a_corpus_is_refused(change: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {"datasets": {"a": prepared(cohort([1]))}, "evaluation": {}, **change}
    with pytest.raises(BadInput, match=message):
        pretraining_corpus(**asked)


def test_an_empty_corpus_is_refused() -> None:
    data = {"a": prepared(cohort([1], ["test"]))}
    with pytest.raises(BadInput, match="no image of a is left"):
        pretraining_corpus(data, data)
