"""The front's figure has room for its panels, however many configurations a study has."""

from __future__ import annotations

from analysis.front.figure import front_figure_bytes
from analysis.front.palette import Style
from analysis.front.panels import Panel, Point


def panel(points: int, left_out: int) -> Panel:
    drawn = tuple(
        Point(
            f"configuration.number.{number}",
            number + 1 if number < 3 else None,
            0.01 * number,
            0.7 + 0.001 * number,
            (0.0, 0.1),
            (0.7, 0.8),
            Style("#0072B2", "o"),
            "",
        )
        for number in range(points)
    )
    names = tuple(f"configuration.number.{number}" for number in range(left_out))
    return Panel("gap_sex", "gap", "AUC", drawn, None, None, names)


def test_many_configurations_without_a_value_leave_room_for_the_panel() -> None:
    """Warnings are errors here, and matplotlib warns of a panel without room."""
    figure = front_figure_bytes((panel(40, 0), panel(40, 180)), "title", "svg").decode()
    named = "configuration.number.0, configuration.number.1, configuration.number.2 and 177 more"
    assert f"undefined on test: {named}" in figure


def test_three_are_named_in_full() -> None:
    figure = front_figure_bytes((panel(4, 3),), "title", "svg").decode()
    assert "configuration.number.2</text>" in figure
    assert "more" not in figure
