"""The cohort's figure: its numbers, its shades, and equal bytes for equal cohorts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from fairfm_core.commands.data import data
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.data.summary import cohort_summary
from fairfm_core.data.summary_figure import Grid, GridCell, draw_grid, grid_bytes, summary_grid
from fairfm_core.errors import BadInput


def cohort() -> pd.DataFrame:
    """400 images of 200 patients: 100 women; Edema in 20 % of them and 10 % of the men."""
    rows = range(400)
    sex = ["F" if row < 200 else "M" for row in rows]
    edema = [float(row % (5 if row < 200 else 10) == 0) for row in rows]
    return pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in rows],
            "patient_id": [f"p{row // 2}" for row in rows],
            "sex": sex,
            "race": None,
            "age": [30.0 if row % 4 < 2 else 70.0 for row in rows],
            "split": ["train" if row % 200 < 150 else "test" for row in rows],
            "row": rows,
            "y_Edema": edema,
            "y_Hernia": [float(row == 0) for row in rows],
            "y_Mass": [None if row < 200 else 0.0 for row in rows],
        }
    )


@pytest.fixture(scope="module")
def grid() -> Grid:
    return summary_grid(cohort_summary(cohort()))


def test_groups_and_rows_are_those_of_the_summary(grid: Grid) -> None:
    assert grid.columns == ("everybody", "sex F", "sex M", "age <40", "age 60-79")
    assert grid.splits == ("all", "train", "test")
    assert grid.pathologies == ("Edema", "Hernia", "Mass")


def test_sizes_are_images_and_patients(grid: Grid) -> None:
    everybody, women, *_ = grid.sizes[1]
    assert everybody == GridCell("300\n(150)", 1.0)
    assert women == GridCell("150\n(75)", 0.5)


def test_prevalences_are_shaded_by_their_ratio_to_everybodys(grid: Grid) -> None:
    everybody, women, men, *_ = grid.prevalences[0]
    assert everybody == GridCell("15.0\n(60)", 0.0)
    assert women.text == "20.0\n(40)"
    assert women.shade == pytest.approx(0.415, abs=1e-3)  # log2(20 / 15)
    assert men.text == "10.0\n(20)"
    assert men.shade == pytest.approx(-0.585, abs=1e-3)


def test_noise_and_the_unlabelled_have_no_shade(grid: Grid) -> None:
    assert grid.prevalences[1][1] == GridCell("0.5\n(1)", None)
    assert grid.prevalences[2][1] == GridCell("not\nlabelled", None)
    assert grid.prevalences[2][2] == GridCell("0.0\n(0)", None)


def test_a_group_that_a_split_lacks_is_zero() -> None:
    frame = cohort()
    frame = frame[(frame["split"] == "train") | (frame["sex"] == "F")]
    grid = summary_grid(cohort_summary(frame))
    assert grid.sizes[2][grid.columns.index("sex M")] == GridCell("0\n(0)", 0.0)


def test_every_cell_is_drawn(grid: Grid) -> None:
    drawn = draw_grid(grid, "a cohort")
    texts = [text.get_text() for axes in drawn.axes for text in axes.texts]
    rows = [*grid.sizes, *grid.prevalences]
    assert texts == [cell.text for row in rows for cell in row]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pdf", "svg", "png"])
def test_equal_cohorts_have_equal_bytes(grid: Grid, form: str) -> None:
    first = grid_bytes(grid, "a cohort of $ 5_000", form)
    assert first == grid_bytes(grid, "a cohort of $ 5_000", form)
    assert first != grid_bytes(grid, "another", form)
    if form == "svg":
        assert b"15.0" in first  # texts stay texts
        assert b"a cohort of $ 5_000" in first


@pytest.mark.slow
def test_check_writes_the_figure(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    prepare("phantom", "unfair", out, 16, patients=30)
    runner = CliRunner()
    for name in ("a.pdf", "b.pdf", "new/c.svg"):
        arguments = ["check", out, "--figure", str(tmp_path / name)]
        done = runner.invoke(data, arguments, catch_exceptions=False)
        assert "all checks passed" in done.output
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "new/c.svg").read_bytes().startswith(b"<?xml")
    with pytest.raises(BadInput, match=r"must end in \.pdf, \.svg or \.png"):
        runner.invoke(data, ["check", "absent", "--figure", "a.jpg"], catch_exceptions=False)


def test_pyplot_is_not_used() -> None:
    source = Path(__file__).parents[3] / "fairfm_core/data/summary_figure.py"
    assert "pyplot" not in source.read_text()
