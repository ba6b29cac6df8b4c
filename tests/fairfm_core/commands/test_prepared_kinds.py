"""`fairfm data prepare` of each kind with little images, and what `data check` says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from fairfm_core.commands.data import data
from fairfm_core.data.dataset import open_dataset
from fairfm_core.data.readers.mentions import LABELS
from fairfm_core.errors import BadInput

ROWS = 12


def fairfm_data(*arguments: str) -> Result:
    done = CliRunner().invoke(data, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done


def draw(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (30, 20), grey).save(path)


@pytest.fixture
def chexpert(tmp_path: Path) -> Path:
    paths = [f"train/patient{i:05d}/study1/view1_frontal.jpg" for i in range(ROWS)]
    table = pd.DataFrame({"Path": [f"CheXpert-v1.0/{path}" for path in paths]})
    table = table.assign(Sex=["Male", "Female"] * 6, Age=60)
    table = table.assign(**{"Frontal/Lateral": "Frontal", "AP/PA": "AP"}, **dict.fromkeys(LABELS))
    table["Edema"] = [1.0, 0.0, -1.0, None] * 3
    folder = tmp_path / "chexpert"
    for i, path in enumerate(paths):
        draw(folder / path, 20 * i)
    table.to_csv(folder / "train.csv", index=False)
    split = pd.DataFrame({"index": range(ROWS), "split": ["train", "validate", "test"] * 4})
    split.to_csv(tmp_path / "split.csv")
    demographics = pd.DataFrame({"PATIENT": [f"patient{i:05d}" for i in range(ROWS)]})
    demographics["PRIMARY_RACE"] = ["White", "Black, non-Hispanic"] * 6
    demographics.assign(ETHNICITY="Not Hispanic").to_excel(
        tmp_path / "CHEXPERT DEMO.xlsx", index=False
    )
    return folder


@pytest.mark.slow
def test_chexpert_is_prepared_and_checked(chexpert: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    options = ("--split-list", str(tmp_path / "split.csv"), "--size", "32")
    made = fairfm_data("prepare", "chexpert", str(chexpert), "--out", out, *options).output
    assert "labels uncertain, left to the trial's policy: 3" in made
    assert "images not on the split list, dropped: 0" in made
    assert "warning: groups with fewer than 30 patients: sex F in train" in made
    opened = open_dataset(out)
    assert opened.attributes == ("sex", "race", "age", "view")
    assert opened.pathologies == tuple(sorted(LABELS))
    assert opened.frame["split"].tolist() == ["train", "val", "test"] * 4
    assert [int(image.mean()) // 20 for image in opened.images] == list(range(ROWS))
    report = json.loads(fairfm_data("check", out, "--json").output)
    assert report["cohort"][0]["uncertain_Edema"] == 3
    assert report["cohort"][0]["prevalence_Edema"] == 0.25
    assert "race Black in val (2)" in report["small_groups"]
    assert (
        "reused" in fairfm_data("prepare", "chexpert", str(chexpert), "--out", out, *options).output
    )


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_kept_aspect_is_another_data_set(tmp_path: Path, resize: str) -> None:
    """Recorded in the manifest, part of the identity; the default stays what it was."""
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(ROWS)]})
    table = table.assign(person=range(ROWS), split=["train", "val", "test"] * 4, y=[0, 0, 1] * 4)
    for i, name in enumerate(table["file"]):
        draw(tmp_path / "images" / name, 100 + i)
    table.to_csv(tmp_path / "table.csv", index=False)
    description = {
        **{"table": "table.csv", "images": "images", "image": "file", "patient": "person"},
        **{"split": "split", "labels": {"Mass": {"column": "y", "values": {0: 0, 1: 1}}}},
    }
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(description))

    def prepared(out: str, *options: str) -> Result:
        asked = (str(tmp_path / "table.yaml"), "--out", str(tmp_path / out), "--size", "16")
        return CliRunner().invoke(data, ("prepare", "table", *asked, *options))

    assert prepared("square").exit_code == 0
    assert f"bicubic, aspect kept by {resize}ping" in prepared(
        "kept", "--resize", resize
    ).output.replace("padding", "padping")
    square, kept = (open_dataset(tmp_path / out) for out in ("square", "kept"))
    assert (square.manifest.resize, kept.manifest.resize) == ("square", resize)
    assert square.digest != kept.digest
    # 30 x 20 pixels: padded with black above and below.
    assert (kept.images[:, 0] == 0).all() == (resize == "pad")
    assert (square.images >= 100).all()
    refused = prepared("kept")
    assert isinstance(refused.exception, BadInput)
    assert "already holds another data set (kind table, size 16, bicubic, aspect" in str(
        refused.exception
    )
    # A manifest of an earlier version, which says nothing of it, is that of a square.
    path = tmp_path / "square" / "manifest.json"
    fields = json.loads(path.read_text())
    assert fields.pop("resize") == "square"
    path.write_text(json.dumps(fields))
    assert open_dataset(tmp_path / "square").digest == square.digest


def test_drawn_images_have_no_shape_to_keep() -> None:
    with pytest.raises(BadInput, match="phantom has no option --resize"):
        CliRunner().invoke(
            data,
            ("prepare", "phantom", "fair", "--out", "unused", "--resize", "crop"),
            catch_exceptions=False,
            standalone_mode=False,
        )


@pytest.mark.slow
def test_photographs_are_prepared_and_checked(tmp_path: Path) -> None:
    for grey, name in ((20, "dark.png"), (200, "light.png")):
        path = tmp_path / "photographs" / name
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (260, 300), grey).save(path)
    out = str(tmp_path / "out")
    arguments = ("prepare", "photographs", str(path.parent), "--out", out, "--size", "32")
    made = fairfm_data(*arguments, "--patches", "60").output
    assert "photographs, 32 x 32 (bicubic), digest" in made
    assert "regions of photographs: 8" in made
    assert "attributes: none" in made
    assert "reused" in fairfm_data(*arguments, "--patches", "60").output
    opened = open_dataset(out)
    assert opened.pathologies == ("dark", "light")
    assert [int(image.mean()) for image in opened.images] == [20, 200] * 30
    report = json.loads(fairfm_data("check", out, "--json").output)
    assert report["cohort"][0]["prevalence_dark"] == 0.5
    assert report["manifest"]["origin"]["meaning"].endswith("nothing medical")
    with pytest.raises(BadInput, match="already holds another data set"):
        fairfm_data(*arguments, "--patches", "61")


def test_a_skewed_phantom_is_prepared(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    fairfm_data("prepare", "phantom", "skewed", "--out", out, "--patients", "200", "--size", "16")
    manifest = open_dataset(out).manifest
    assert manifest.interpolation == "drawn"
    assert manifest.origin["world"]["shares"]["race"]["White"] == 0.9


@pytest.mark.slow
def test_a_described_table_is_prepared(tmp_path: Path) -> None:
    for i in range(ROWS):
        draw(tmp_path / f"knees/{i}.png", 20 * i)
    rows = pd.DataFrame({"knee": [f"{i}.png" for i in range(ROWS)], "who": range(ROWS)})
    rows.assign(kl=[0, 1, 2, 3] * 3, site=["north", "south"] * 6).to_parquet(tmp_path / "k.parquet")
    described = {"table": "k.parquet", "images": "knees", "image": "knee", "patient": "who"}
    labels = {"Osteoarthritis": {"column": "kl", "values": {0: 0, 1: 0, 2: 1, 3: 1}}}
    described |= {"labels": labels, "attributes": {"site": "site"}}
    (tmp_path / "knee.yaml").write_text(yaml.safe_dump(described))
    out = str(tmp_path / "out")
    fairfm_data("prepare", "table", str(tmp_path / "knee.yaml"), "--out", out, "--size", "32")
    opened = open_dataset(out)
    assert opened.attributes == ("site",)
    assert opened.frame["y_Osteoarthritis"].sum() == 6
