"""Files in the layouts of published programs: the same numbers as ours, or one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.reading.form import PredictionForm
from fairfm_core.evaluation.reading.layout import known_layouts, read_layout
from fairfm_core.evaluation.reading.model import ReadModel, read_model

from .published_files import (
    PATHOLOGIES,
    cohort,
    logits,
    write_chexclusion,
    write_chexploration,
    write_medfair,
)

WRITERS = {
    "chexploration": write_chexploration,
    "chexclusion": write_chexclusion,
    "medfair": write_medfair,
}


def read(folder: Path, layout: str, people: Path | None) -> ReadModel:
    known = read_layout(layout)
    form = PredictionForm(scores=known.scores, layout=known, people=people)
    return read_model(sorted(folder.iterdir()), form)


def expected() -> pd.DataFrame:
    """The predictions under our names, by image, made of the cohort alone."""
    people = cohort()
    frame = pd.DataFrame(
        {
            "patient_id": people["Path"].str.split("/").str[2],
            "sex": people["Sex"].str[0],
            "race": people["Race"],
        }
    )
    for k, name in enumerate(PATHOLOGIES):
        frame[f"y_{name}"] = (people[name] == 1).astype(float)
        frame[f"p_{name}"] = 1 / (1 + np.exp(-logits(people)[:, k]))
    return frame.set_index(people["Path"]).sort_index()


@pytest.mark.parametrize("layout", ["chexploration", "chexclusion"])
def test_scores_labels_and_people_meet_on_the_right_image(tmp_path: Path, layout: str) -> None:
    place = WRITERS[layout](tmp_path / "output", cohort())
    frame = read(tmp_path / "output", layout, place).predictions.frame
    found, wanted = frame.set_index("image_id").sort_index(), expected()
    assert set(found["split"]) == {"test"}
    for name in (n for n in wanted if n in found):
        if name.startswith("p_"):
            assert np.allclose(found[name], wanted[name], atol=1e-6)
        else:
            assert found[name].tolist() == wanted[name].tolist(), name
    assert ("race" in found) == (layout == "chexploration")


def test_medfair_s_decisions_are_said_to_be_decisions(tmp_path: Path) -> None:
    model = read(tmp_path / "output", "medfair", write_medfair(tmp_path / "output", cohort()))
    found, wanted = model.predictions.frame.set_index("image_id").sort_index(), expected()
    assert found["y_No Finding"].tolist() == wanted["y_No Finding"].tolist()
    chance = 1 / (1 + np.exp(-0.5))
    assert (found["p_No Finding"] == (wanted["p_No Finding"] > chance)).all()
    assert found["patient_id"].tolist() == wanted["patient_id"].tolist()
    assert any("these are decisions: their AUC is that of one" in note for note in model.notes)


def test_a_file_for_each_split_and_a_folder_of_tables(tmp_path: Path) -> None:
    people = {split: cohort(split, 40, seed) for seed, split in enumerate(("val", "test"))}
    people["val"]["Path"] = people["val"]["Path"].str.replace("patient", "patient1")
    for split, each in people.items():
        write_chexploration(tmp_path / "output", each, split)
    (tmp_path / "output" / "embeddings_test.csv").write_text("0,1,target_0\n0.1,0.2,1\n")
    frame = read(tmp_path / "output", "chexploration", tmp_path).predictions.frame
    assert frame["split"].value_counts().to_dict() == {"val": 40, "test": 40}


def test_arrays_are_numbered_columns(tmp_path: Path) -> None:
    people = cohort(images=40)
    target_NP = (people[list(PATHOLOGIES)] == 1).to_numpy(float)
    np.savez(tmp_path / "scores.npz", logit=logits(people), target=target_NP)
    place = write_chexploration(tmp_path / "output", people)
    layout = read_layout("chexploration").model_copy(
        update={"predictions": {"test": ("scores.npz",)}}
    )
    form = PredictionForm(scores="logits", layout=layout, people=place)
    frame = read_model([tmp_path / "scores.npz"], form).predictions.frame
    assert np.allclose(np.log(1 / frame["p_Edema"] - 1), -logits(people)[:, 5], atol=1e-5)


def changed(place: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(place)).to_csv(place, index=False)


def swapped(table: pd.DataFrame) -> pd.DataFrame:
    """Two pathologies exchanged, as by a program that sorts them."""
    names = {"target_5": "target_8", "target_8": "target_5"}
    return table.rename(
        columns=names
        | {k.replace("target", "logit"): v.replace("target", "logit") for k, v in names.items()}
    )


FAULTS = {
    "another order": (
        "chexploration",
        "predictions_test.csv",
        swapped,
        "labels of 'Edema' are those of 'Atelectasis' in .*another order",
    ),
    "fewer rows": (
        "chexploration",
        "predictions_test.csv",
        lambda t: t[:-1],
        "has 239 rows and .* has 240: they are joined row by row",
    ),
    "other rows": (
        "chexploration",
        "predictions_test.csv",
        lambda t: t.sample(frac=1, random_state=0),
        "differ in 'No Finding' in .* rows are of other images",
    ),
    "no logits": (
        "chexploration",
        "predictions_test.csv",
        lambda t: t.rename(columns={"logit_3": "x"}),
        "lacks 'logit_3' of the layout's 14 columns; it has",
    ),
    "logits undeclared": (
        "chexclusion",
        "preds.csv",
        lambda t: t.assign(prob_Edema=lambda t: 8 * t["prob_Edema"] - 4),
        "probability in 0..1 is expected .*logits",
    ),
    "no id": (
        "chexclusion",
        "preds.csv",
        lambda t: t.drop(columns="Path"),
        "has no column 'Path', which the layout names",
    ),
    "blank ids": (
        "chexclusion",
        "preds.csv",
        lambda t: t.assign(Path=t["Path"].where(t.index > 2)),
        "'Path', which names the image, is blank in 3 of 240 rows",
    ),
    "other images": (
        "chexclusion",
        "True.csv",
        lambda t: t[5:],
        "5 of 240 images of .*preds.csv are not in .*True.csv, such as",
    ),
    "twice": (
        "chexclusion",
        "True.csv",
        lambda t: pd.concat([t, t[:1]]),
        "True.csv has an image more than once",
    ),
    "other people": (
        "medfair",
        "pred.csv",
        lambda t: t.assign(index=t["index"] + 7),
        "7 of 240 images of .* are not in .*such as",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_one_clear_line(tmp_path: Path, fault: str) -> None:
    layout, file, change, message = FAULTS[fault]
    place = WRITERS[layout](tmp_path / "output", cohort())
    changed(tmp_path / "output" / file, change)
    with pytest.raises(BadInput, match=message) as refused:
        read(tmp_path / "output", layout, place)
    assert "\n" not in str(refused.value)


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    write_chexclusion(tmp_path / "output", cohort(images=20))
    with pytest.raises(BadInput, match=r"do not say who is on an image: .* --people"):
        read(tmp_path / "output", "chexclusion", None)
    with pytest.raises(
        BadInput, match=r"MEDFAIR .* writes pred.csv, which is not among 'True.csv'"
    ):
        read(tmp_path / "output", "medfair", tmp_path / "new_test.csv")
    with pytest.raises(BadInput, match=r"holds no table of split test \(new_test.csv\)"):
        read(tmp_path / "output", "chexclusion", tmp_path / "output")
    (tmp_path / "output" / "True.csv").unlink()
    with pytest.raises(BadInput, match=r"holds scores alone; give its labels, True.csv, too"):
        read(tmp_path / "output", "chexclusion", tmp_path / "new_test.csv")


def test_a_layout_of_ones_own_is_checked(tmp_path: Path) -> None:
    assert known_layouts() == ("chexclusion", "chexploration", "medfair")
    with pytest.raises(
        BadInput, match=r"'medfare' is neither a file nor known \(did you mean 'medfair'"
    ):
        read_layout("medfare")
    own = tmp_path / "own.yaml"
    text = "program: ours\npredictions: {test: [a.csv]}\nscores: logits\nlabels: y_{number}\n"
    own.write_text(text + "predicted: p\npathologies: [Edema, Fracture]\n")
    with pytest.raises(BadInput, match="predicted: say where the pathology stands"):
        read_layout(str(own))
    own.write_text(text + "predicted: p_{name}\npathologies: [Edema]\npeeple: {}\n")
    with pytest.raises(BadInput, match="unknown key 'peeple'"):
        read_layout(str(own))
