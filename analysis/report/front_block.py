"""The parts of a page that show a front: answer, figure, and a row for each configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.front.front import Front
from analysis.front.palette import Style
from analysis.front.panels import figure_title, front_panels
from analysis.front.text import apparent_text, parameters_text
from analysis.report.figures import front_chart
from analysis.report.scatter import scatter_data
from analysis.report.story import answer_of
from analysis.report.tables import front_lines, front_names, gap_lines, group_columns, group_lines
from analysis.report.templates import environment, packed
from analysis.results.replicates import StudyNumbers
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.tables import Evaluation

PAGE_ROWS = 50
"""Rows of a table that the page shows first; its script shows the others."""


@dataclass(frozen=True)
class PagedRows:
    """The rows of a table as HTML."""

    rows: Sequence[str]

    @property
    def first(self) -> Sequence[str]:
        """Those that the page shows without its script."""
        return self.rows[:PAGE_ROWS]

    @property
    def rest(self) -> Sequence[str]:
        """Those that are packed."""
        return self.rows[PAGE_ROWS:]


@dataclass(frozen=True, eq=False)
class ShownFront:
    """A front with what its parts of a page are made of."""

    front: Front
    evaluations: Mapping[str, Evaluation]
    """By the configuration's group."""
    numbers: StudyNumbers
    settings: EvaluationSettings
    look: Mapping[str, Style]


def front_values(shown: ShownFront) -> dict[str, Any]:
    """What the templates of the answer, the figure and the table read."""
    front, settings = shown.front, shown.settings
    seeds = max((row["seeds"] for row in front.rows), default=0)
    panels = front_panels(front, settings.attributes)
    tables = _tables(shown)
    return {
        "answer": answer_of(front, settings.attributes, shown.numbers),
        "settings": settings,
        "how": how_measured(settings),
        "percent": f"{100 * settings.confidence:g} %",
        "figure_title": figure_title(settings, seeds),
        "front": front,
        "panels": [(panel, front_chart(panel)) for panel in panels],
        "names": front_names(front, settings.attributes),
        "members": _members(front, shown.look),
        "parameters": parameters_text(front),
        "apparent": apparent_text(front),
        "tables": tables,
        "packed": packed(_content(shown, tables)),
    }


def _content(shown: ShownFront, tables: Mapping[str, PagedRows]) -> dict[str, Any]:
    """What the page's script unpacks."""
    front, protocols = shown.front, shown.settings.protocols
    return {
        "scatter": scatter_data(front, shown.evaluations, shown.numbers, protocols, shown.look),
        "rows": {name: list(map(str, table.rest)) for name, table in tables.items()},
        "csv": front.table.to_csv(index=False, float_format="%.6g"),
    }


def _members(front: Front, look: Mapping[str, Style]) -> list[tuple[int, Style, str, str]]:
    """Number, style, words and label of each member of the front."""
    return [
        (place, look[row["label"]], front.named(row["label"]), row["label"])
        for place, row in enumerate(front.members, start=1)
    ]


def _tables(shown: ShownFront) -> dict[str, PagedRows]:
    """The tables with a row for each configuration, by the id of the element."""
    front, evaluations, look = shown.front, shown.evaluations, shown.look
    write: Any = environment().get_template("rows.html.j2").module
    names, columns = front_names(front, shown.settings.attributes), group_columns(evaluations)
    lines = front_lines(front, names, look)
    gaps = gap_lines(front, evaluations, look)
    groups = group_lines(front, evaluations, columns, look)
    heads = [f"{attribute} {group}" for attribute, group in columns]
    return {
        "front-table": PagedRows([write.front_row(line, names) for line in lines]),
        "gap-table": PagedRows([write.gap_row(line) for line in gaps]),
        "group-table": PagedRows([write.group_row(line, heads) for line in groups]),
    }


def how_measured(settings: EvaluationSettings) -> str:
    """Split, protocol, unit and interval of the numbers of a page, as a part of a sentence."""
    return (
        f"test split, protocol {settings.protocols[0]}, in points (1 point = 0.01); "
        f"{100 * settings.confidence:g} % intervals from {settings.replicates} draws of "
        f"{settings.resampling}"
    )
