from analysis.evaluation.fitting import Section, fitted, fitted_rows


def section(rows, least=1, rest="metrics.csv"):
    cells = tuple((f"name {n}", "1.0") for n in range(rows))
    return Section("title", ("name", "value"), cells, tuple(range(rows)), rest, least, names=(0,))


def height(sections):
    return sum(len(each.lines) + 1 for each in sections)


def test_sections_are_cut_to_the_height_and_say_so():
    shown = fitted([section(30, 4), section(20, 8, "gaps.csv")], 30)
    assert height(shown) <= 30
    first, second = shown
    assert len(second.rows) >= 8
    assert f"… {30 - len(first.rows)} more in metrics.csv" in first.lines[-1]
    assert f"… {20 - len(second.rows)} more in gaps.csv" in second.lines[-1]


def test_what_fits_is_not_cut():
    assert fitted([section(3)], 30) == [section(3)]
    assert "more in" not in "\n".join(section(3).lines)


def test_even_the_least_gives_way_to_the_height():
    assert height(fitted([section(9, 9), section(9, 9)], 14)) <= 14


def test_the_highest_rank_goes_first():
    cells = tuple((name, "") for name in "abcd")
    shorter = Section("t", ("n", "v"), cells, (0, 5, 1, 5), "f").shorter
    assert [row[0] for row in shorter.rows] == ["a", "c"]
    assert [row[0] for row in shorter.shorter.rows] == ["a"]


def test_lines_are_cut_in_names_and_nowhere_else():
    rows = [("group", "value"), ("x" * 300, "81.4 (80.9–81.9)"), ("short", "2")]
    lines = fitted_rows(rows, (0,), width=60)
    assert max(map(len, lines)) <= 60
    assert "81.4 (80.9–81.9)" in lines[1]
    assert "…" in lines[1]
    assert "…" not in lines[2]


def test_no_line_says_that_one_row_is_left_out():
    """The row itself takes no more room than such a line."""
    for height_ in range(8, 40):
        for each in fitted([section(9), section(5), section(14)], height_):
            assert each.left_out != 1
