"""Pre-training corpora: unions and nested fractions by patient, clean of evaluation patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfm_core.data.cohort import cohort_digest
from fairfm_core.data.corpora.corpus import (
    Corpus,
    Count,
    corpus_text,
    open_corpora,
    pretraining_corpus,
)
from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.manifest import Digests, Manifest
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.errors import BadInput


def prepared(
    frame: pd.DataFrame,
    kind: str = "phantom",
    digest: str = "d",
    source: str | None = None,
    pixels: np.ndarray | None = None,
) -> PreparedData:
    """A data set of these images, which show nothing unless `pixels` are given."""
    source = source or digest
    manifest = Manifest(
        kind=kind,
        size=16,
        interpolation="bicubic",
        counts={"images": len(frame)},
        notes={},
        origin={"table_sha256": source, "world": {"seed": source}, "photographs": {"a": source}},
        digests=Digests(images=digest, cohort=digest),
        request="r",
    )
    if pixels is None:
        pixels = np.zeros((len(frame), 16, 16), dtype=np.uint8)
    folder = Path("data", digest)
    return PreparedData(folder, frame, pixels, digest, 16, ("Edema",), (), manifest)


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
        for name, part in corpus.parts.items()
        for image in datasets[name].frame.set_index("row").loc[part.rows, "image_id"]
    }


patients = st.lists(st.integers(0, 30), min_size=1, max_size=80)
fractions = st.floats(0.01, 1.0)


@pytest.mark.slow
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


@pytest.mark.slow
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
    part, whole = clean.parts["a"], with_all.parts["a"]
    kept = data["a"].frame.set_index("row").loc[part.rows, "patient_id"]
    assert not set(kept) & judged
    assert part.overlap == whole.excluded == Count(0, 0)
    removed = ids(with_all, data) - ids(clean, data)
    assert len(removed) == whole.overlap.images == part.excluded.images
    assert whole.overlap == part.excluded
    assert {name for name, _ in removed} <= {"a"}  # the same ids elsewhere are other people
    assert clean.images + len(removed) == with_all.images


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(patients, fractions, st.randoms(use_true_random=False))
def test_row_order_decides_about_nobody_but_is_a_part_of_the_identity(
    numbers, fraction, shuffle
) -> None:
    """A training numbers the images by row: the cohort's digest tells other rows apart."""
    numbers = [*numbers, *range(31)]
    frame = cohort(numbers, ["train", "test", "train"])
    order = list(range(len(frame)))
    shuffle.shuffle(order)
    moved = frame.iloc[order].assign(row=np.arange(len(frame)))
    data = [prepared(each, digest=cohort_digest(each), source="s") for each in (frame, moved)]
    judged = {"a": data[0]}
    try:
        one = pretraining_corpus({"a": data[0]}, judged, fraction=fraction)
    except BadInput:
        return
    two = pretraining_corpus({"a": data[1]}, judged, fraction=fraction)
    assert ids(one, {"a": data[0]}) == ids(two, {"a": data[1]})
    assert one.parts["a"].count == two.parts["a"].count
    assert (one.digest == two.digest) == (order == sorted(order))
    assert (np.diff(two.parts["a"].rows) > 0).all()


def test_a_fraction_is_a_share_of_patients() -> None:
    data = {"a": prepared(cohort([n // 3 for n in range(30_000)]))}
    part = pretraining_corpus(data, {}, fraction=0.3).parts["a"]
    assert part.count.patients == pytest.approx(3000, abs=4 * np.sqrt(10_000 * 0.3 * 0.7))
    assert part.count.images == 3 * part.count.patients
    assert pretraining_corpus(data, {}).parts["a"].count == Count(10_000, 30_000)
    other = pretraining_corpus(data, {}, fraction=0.3, seed=1).parts["a"]
    assert other.rows.tolist() != part.rows.tolist()


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
        "1 (phantom): 1 images of 1 patients; 2 images of 2 validation and test patients left out\n"
        "2 (phantom): 2 images of 2 patients"
    )


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_the_order_of_data_sets_plays_no_part(fraction: float) -> None:
    data = {name: prepared(cohort(list(range(40))), digest=name) for name in "bca"}
    one = pretraining_corpus(data, {}, fraction=fraction)
    two = pretraining_corpus(dict(reversed(data.items())), {}, fraction=fraction)
    assert list(one.parts) == list(two.parts) == ["a", "b", "c"]
    assert one.digest == two.digest
    assert corpus_text(one) == corpus_text(two)
    assert ids(one, data) == ids(two, data)
    # Other people: each data set's fraction is its own.
    assert fraction == 1 or len({str(part.rows) for part in one.parts.values()}) == 3


def test_one_source_holds_the_same_people_whatever_its_name() -> None:
    """Else test patients could pass under another name."""
    everyone = prepared(cohort([1, 2]), "chexpert", "1")
    tested = prepared(cohort([1, 2], ["train", "test"]), "chexpert", "2")
    for name in ("chexpert", "cxpt"):
        part = pretraining_corpus({"chexpert": everyone}, {name: tested}).parts["chexpert"]
        assert (part.count, part.excluded, part.shared) == (Count(1, 1), Count(1, 1), ())


def test_two_data_sets_of_one_source_are_refused() -> None:
    one, two = (prepared(cohort([1, 2]), "chexpert", digest) for digest in "12")
    with pytest.raises(BadInput, match=r"data/1 and data/2 .*same source .chexpert.*give only one"):
        pretraining_corpus({"a": one, "b": two}, {})
    with pytest.raises(BadInput, match="the same source"):
        pretraining_corpus({"a": one, "b": one}, {})


def test_one_table_prepared_twice_is_one_source() -> None:
    """Another size or split makes another digest of the same patients."""
    small = prepared(cohort([1, 2], ["train", "test"]), "table", digest="16 px", source="t.csv")
    large = prepared(cohort([1, 2], ["train", "test"]), "table", digest="32 px", source="t.csv")
    with pytest.raises(BadInput, match="the same source"):
        pretraining_corpus({"large": large, "small": small}, {})
    part = pretraining_corpus({"retina": large}, {"retina": small}).parts["retina"]
    assert (part.count, part.shared) == (Count(1, 1), ())


@pytest.mark.parametrize(
    ("kind", "judged"),
    [("table", "table"), ("table", "chexpert"), ("chexpert", "table"), ("phantom", "table")],
)
def test_a_table_can_be_of_the_evaluations_patients(kind: str, judged: str) -> None:
    data = {"a": prepared(cohort([1, 2, 3, 3]), kind, "mine")}
    evaluation = {"b": prepared(cohort([1, 2, 3, 4], ["train", "test"]), judged, "cxpt")}
    clean = pretraining_corpus(data, evaluation)
    assert ids(clean, data) == {("a", "i0001")}  # a patient who is trained on may stay
    part = clean.parts["a"]
    assert (part.count, part.excluded, part.overlap) == (Count(1, 1), Count(2, 3), Count(0, 0))
    theirs = "3 images of 2 validation and test patients"
    why = f", who share their ids with patients of cxpt ({judged})"
    start = f"mine ({kind}): 1 images of 1 patients"
    assert corpus_text(clean) == f"{start}; {theirs} left out{why}"
    whole = pretraining_corpus(data, evaluation, exclude_eval_patients=False)
    part = whole.parts["a"]
    assert (part.count, part.excluded, part.overlap) == (Count(3, 4), Count(0, 0), Count(2, 3))
    assert corpus_text(whole) == f"mine ({kind}): 4 images of 3 patients; {theirs} kept{why}"
    assert clean.digest != whole.digest == pretraining_corpus(data, {}).digest


@pytest.mark.parametrize(
    ("kind", "judged"),
    [
        ("phantom", "phantom"),
        ("photographs", "phantom"),
        ("chexpert", "chestxray14"),
        ("mimic-cxr", "chexpert"),
    ],
)
def test_equal_ids_of_other_sources_are_other_people(kind: str, judged: str) -> None:
    data = {"a": prepared(cohort([1, 2]), kind, "1")}
    evaluation = {"b": prepared(cohort([1, 2], ["val", "test"]), judged, "2")}
    for exclude in (True, False):
        corpus = pretraining_corpus(data, evaluation, exclude_eval_patients=exclude)
        assert corpus.digest == pretraining_corpus(data, {}).digest
        assert corpus_text(corpus) == f"1 ({kind}): 2 images of 2 patients"


def test_a_table_that_shares_no_id_is_of_other_people() -> None:
    data = {"a": prepared(cohort([1, 2]), "table", "1")}
    evaluation = {"b": prepared(cohort([3, 4], ["val", "test"]), "table", "2")}
    assert pretraining_corpus(data, evaluation).parts["a"].shared == ()
    assert pretraining_corpus(data, evaluation).images == 2


def test_two_phantom_worlds_do_share_their_ids(tmp_path: Path) -> None:
    for seed in (1, 2):
        prepare("phantom", "unfair", tmp_path / str(seed), 16, patients=20, seed=seed)
    one, two = (open_corpora([str(tmp_path / str(seed))]) for seed in (1, 2))
    tested = next(iter(two.values())).frame
    assert set(tested["patient_id"]) == set(next(iter(one.values())).frame["patient_id"])
    assert tested["split"].isin(["val", "test"]).any()
    assert pretraining_corpus(one, two).digest == pretraining_corpus(one, {}).digest


def test_copies_reveal_the_evaluations_patients_whatever_their_ids() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16), dtype=np.uint8)
    mine = prepared(cohort([1, 2, 2, 3, 4]), "table", "mine", pixels=pixels[:5])
    splits: list[str | None] = ["train", "val", "test"]
    frame = cohort([20, 21, 22, 23], splits)  # test, train, val, test
    judged = prepared(frame, "chestxray14", "nih", pixels=pixels[[1, 3, 6, 7]])
    data, evaluation = {"a": mine}, {"b": judged}
    clean = pretraining_corpus(data, evaluation)
    # Image 1 is a test image: its patient, 2, leaves with both images; 3 is only trained on.
    assert ids(clean, data) == {("a", "i0000"), ("a", "i0003"), ("a", "i0004")}
    part = clean.parts["a"]
    assert (part.excluded, part.excluded_copies, part.copies) == (
        Count(0, 0),
        Count(1, 2),
        Count(0, 0),
    )
    theirs = "2 images of 1 patients with copies of validation and test images"
    assert corpus_text(clean) == f"mine (table): 3 images of 3 patients; {theirs} left out"
    whole = pretraining_corpus(data, evaluation, exclude_duplicates=False)
    assert (whole.images, whole.parts["a"].copies) == (5, Count(1, 2))
    assert corpus_text(whole) == f"mine (table): 5 images of 4 patients; {theirs} kept"
    assert clean.digest != whole.digest == pretraining_corpus(data, {}).digest
    everyone = pretraining_corpus(data, evaluation, exclude_eval_patients=False)
    assert everyone.digest == whole.digest


def test_without_copies_an_identity_is_that_of_the_ids_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 16), dtype=np.uint8)
    data = {"a": prepared(cohort([1, 2, 3]), "table", "mine", pixels=pixels[:3])}
    judged = prepared(cohort([4, 5, 3], ["val", "test"]), "table", "other", pixels=pixels[3:])
    with_pixels = pretraining_corpus(data, {"b": judged})
    blank = {"a": prepared(cohort([1, 2, 3]), "table", "mine")}
    other = {"b": prepared(cohort([4, 5, 3], ["val", "test"]), "table", "other")}
    assert with_pixels.digest == pretraining_corpus(blank, other).digest
    assert with_pixels.images == 2


@pytest.mark.slow
def test_real_radiographs_under_other_ids_and_at_another_size_are_left_out(
    shared_data: Path, tmp_path: Path
) -> None:
    """Seen: one hospital's images as a table with ids 00000261 and as chestxray14 with 261."""
    source = shared_data / "nih_cxr1100"
    table = pd.read_csv(source / "metadata.csv").assign(
        who=lambda frame: frame["patient_id"].map("hospital-{:08d}".format),
        mass=0,
    )
    table.to_csv(tmp_path / "table.csv", index=False)
    described = {
        "table": "table.csv",
        "images": str(source),
        "image": "path",
        "patient": "who",
        "labels": {"Mass": {"column": "mass", "values": {0: 0}}},
    }
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(described))
    mine = prepare("table", tmp_path / "table.yaml", tmp_path / "mine", 96)
    judged = prepare("chestxray14", source, tmp_path / "nih", 64)
    corpus = pretraining_corpus({"a": mine}, {"b": judged})
    tested = judged.frame[judged.frame["split"].isin(["val", "test"])]
    expected = Count(tested["patient_id"].nunique(), len(tested))
    assert corpus.parts["a"].excluded == Count(0, 0)
    left_out = corpus.parts["a"].excluded_copies
    assert left_out.images >= expected.images > 100
    assert left_out.patients <= expected.patients + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fraction": 0.0}, "fraction 0 of a corpus: give a number above 0 and at most 1"),
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
    with pytest.raises(BadInput, match=r"no image is left.*\(d \(phantom\): 0 images.* left out\)"):
        pretraining_corpus(data, data)
