"""`fairfm data`: counts printed, JSON for programs, errors passed on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

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


def test_help_loads_no_science() -> None:
    code = (
        "import sys; from click.testing import CliRunner\n"
        "from fairfm_core.commands.data import data\n"
        "assert CliRunner().invoke(data, ['prepare', '--help']).exit_code == 0\n"
        "heavy = {'pandas', 'numpy', 'torch', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_data_room_loads_no_torch() -> None:
    code = (
        "import sys, fairfm_core.data.preparation.prepare, fairfm_core.data.balancing\n"
        "import fairfm_core.data.summary\n"
        "heavy = {'torch', 'timm', 'ray', 'mlflow', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
