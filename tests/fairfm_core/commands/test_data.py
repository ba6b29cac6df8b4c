"""`fairfm data`: counts printed, JSON for programs, errors passed on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fairfm_core.commands.data import data
from fairfm_core.errors import BadInput


def fairfm_data(*arguments: str) -> Result:
    return CliRunner().invoke(data, arguments, catch_exceptions=False)


def test_prepare_prints_counts_and_check_prints_groups(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    arguments = ("prepare", "phantom", "unfair", "--out", out, "--patients", "30", "--size", "32")
    made = fairfm_data(*arguments)
    assert made.exit_code == 0
    assert "phantom, 32 x 32 (drawn), digest" in made.output
    assert "patients: 30" in made.output
    assert "attributes: sex, race, age" in made.output
    assert "reused" in fairfm_data(*arguments).output
    checked = fairfm_data("check", out)
    assert checked.exit_code == 0
    assert "all checks passed" in checked.output
    assert "White" in checked.output
    report = json.loads(fairfm_data("check", out, "--json").output)
    assert report["manifest"]["counts"]["patients"] == 30
    assert {record["group"] for record in report["cohort"]} >= {"F", "M", "White"}


def test_check_cuts_ages_where_it_is_asked_to(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    fairfm_data("prepare", "phantom", "fair", "--out", out, "--patients", "30", "--size", "32")
    usual, other = (
        json.loads(fairfm_data("check", out, "--json", *options).output)
        for options in ((), ("--age-edges", "18.5,65"))
    )
    for report, bins in ((usual, {"<40", "40-59", "60-79", "80+"}), (other, {"18.5-<65", "65+"})):
        ages = {row["group"] for row in report["cohort"] if row["attribute"] == "age"}
        assert ages - {"unknown"} <= bins
        assert len(ages) > 1
        assert any(f"age {name} in" in line for name in bins for line in report["small_groups"])
    assert "18.5-<65" in fairfm_data("check", out, "--age-edges", "18.5,65").output
    for wrong in ("60,40", "old", ""):
        with pytest.raises(BadInput, match=r"^--age-edges: "):
            fairfm_data("check", out, "--age-edges", wrong)


def test_options_reach_the_world(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    options = ("--effect", "0.5", "--seed", "3", "--patients", "5", "--fractions", "0.5", "0.2")
    fairfm_data("prepare", "phantom", "fair", "--out", out, *options, "0.3")
    report = json.loads(fairfm_data("check", out, "--json").output)
    world = report["manifest"]["origin"]["world"]
    assert (world["effect"], world["seed"], world["patients"]) == (0.5, 3, 5)


def test_bad_input_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="did you mean 'chestxray14'"):
        fairfm_data("prepare", "chestxray", "x", "--out", str(tmp_path / "out"))
    with pytest.raises(BadInput, match="does not exist"):
        fairfm_data("check", str(tmp_path / "absent"))


def clinic(folder: Path, names: list[str], pictures: list[int], links: Path | None = None) -> Path:
    """A table of images; equal numbers in `pictures` are one picture."""
    (folder / "photos").mkdir(parents=True)
    lines = ["file,person,split,mass"]
    for i, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        grey = np.random.default_rng(picture).integers(0, 256, (24, 24), dtype=np.uint8)
        place = (links or folder / "photos") / f"{name}.png"
        Image.fromarray(grey).save(place)
        if links:
            (folder / "photos" / f"{name}.png").symlink_to(place)
        lines.append(f"{name}.png,p{name},{('train', 'val', 'test')[i % 3]},{i % 2}")
    (folder / "clinic.csv").write_text("\n".join(lines))
    described = {
        "table": "clinic.csv",
        "images": "photos",
        "image": "file",
        "patient": "person",
        "split": "split",
        "labels": {"Mass": {"column": "mass", "values": {0: 0, 1: 1}}},
    }
    (folder / "clinic.yaml").write_text(json.dumps(described))
    return folder / "clinic.yaml"


def prepared_clinic(
    folder: Path, names: str, pictures: list[int], *options: str
) -> tuple[str, str]:
    out = str(folder / "out")
    table = str(clinic(folder / "clinic", list(names), pictures))
    arguments = ("prepare", "table", table, "--out", out, "--size", "24", *options)
    return out, fairfm_data(*arguments).output


def test_copies_are_reported_when_prepared_and_checked(tmp_path: Path) -> None:
    out, made = prepared_clinic(tmp_path / "a", "abcdef", [1, 1, 2, 3, 4, 5])
    warning = "warning: 2 copies of 1 picture in several splits: a.png (train) = b.png (val)"
    assert warning in made
    assert warning in fairfm_data("check", out).output
    other, made = prepared_clinic(tmp_path / "b", "xyz", [5, 6, 7])
    assert "no image is a copy of another" in made
    checked = fairfm_data("check", out, "--against", other)
    assert f"warning: 1 images of 1 patients are copies of images in {other}" in checked.output
    report = json.loads(fairfm_data("check", out, "--against", other, "--json").output)
    assert [each["patient_id"] for each in report["duplicates"]] == ["pa", "pb"]
    assert [each["image_id"] for each in report["shared"][other]] == ["f.png", "x.png"]


def test_an_earlier_data_set_is_sealed(tmp_path: Path) -> None:
    out, _ = prepared_clinic(tmp_path, "abc", [1, 2, 3])
    manifest = Path(out, "manifest.json")
    fields = json.loads(manifest.read_text()) | {"checksums": None}
    del fields["seal"]
    manifest.write_text(json.dumps(fields))
    advice = f"add them with: fairfm data seal {out}"
    assert advice in fairfm_data("check", out).output
    assert "checksums of 3 images, digest " in fairfm_data("seal", out).output
    assert advice not in fairfm_data("check", out).output


def test_links_that_leave_the_image_folder_are_refused_unless_asked_for(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    table = str(clinic(tmp_path / "clinic", list("abc"), [1, 2, 3], outside))
    arguments = ("prepare", "table", table, "--out", str(tmp_path / "out"), "--size", "24")
    message = (
        r"3 image file\(s\) are links to places outside .*photos: a.png, b.png, c.png; pass --f"
    )
    with pytest.raises(BadInput, match=message):
        fairfm_data(*arguments)
    assert "images: 3" in fairfm_data(*arguments, "--follow-symlinks").output


def test_links_inside_the_image_folder_and_to_it_are_followed(tmp_path: Path) -> None:
    table = clinic(tmp_path / "clinic", list("abc"), [1, 2, 3])
    photos = tmp_path / "clinic/photos"
    (photos / "c.png").rename(photos / "d.png")
    (photos / "c.png").symlink_to(photos / "d.png")
    photos.rename(tmp_path / "elsewhere")
    photos.symlink_to(tmp_path / "elsewhere")
    (photos / "c.png").unlink()
    (photos / "c.png").symlink_to("d.png")
    made = fairfm_data("prepare", "table", str(table), "--out", str(tmp_path / "out"))
    assert "images: 3" in made.output


def test_help_loads_no_science() -> None:
    code = (
        "import sys; from click.testing import CliRunner\n"
        "from fairfm_core.commands.data import data\n"
        "assert CliRunner().invoke(data, ['prepare', '--help']).exit_code == 0\n"
        "heavy = {'pandas', 'numpy', 'torch', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_data_room_loads_no_torch() -> None:
    code = (
        "import sys, fairfm_core.data.preparation.prepare, fairfm_core.data.balancing\n"
        "import fairfm_core.data.summary\n"
        "heavy = {'torch', 'timm', 'ray', 'mlflow', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
