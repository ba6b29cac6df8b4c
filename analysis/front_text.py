"""A front as text for the terminal, and as JSON for a program."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from analysis.front_rows import Row, number_of
from analysis.numbers import is_gap
from analysis.pareto import Front
from analysis.text_table import aligned
from analysis.wording import counted, definition_of, title_of, with_interval, with_null
from fairfm_core.config import EvaluationSettings


def front_text(front: Front, settings: EvaluationSettings) -> str:
    """The members of the front with test values, then who was kept out, then how to read it."""
    names = list(dict.fromkeys(["auc", *front.names]))
    head = ["#", "configuration", "seeds", *(title_of(name) for name in names)]
    rows = [_line(place, row, names) for place, row in enumerate(front.members, start=1)]
    lines = [f"front: {len(rows)} of {counted(len(front.table), 'configuration')}"]
    lines += [aligned([head, *rows])] if rows else []
    lines += [f"kept out: {row['label']}: {row['reason']}" for row in front.kept_out]
    return "\n".join([*lines, *textwrap.wrap(_reading(front, settings), 100)])


def front_json(front: Front, study: str) -> str:
    """The front's table and hypervolume as JSON; undefined values are null."""
    return json.dumps(
        {
            "study": study,
            "objectives": [objective.model_dump() for objective in front.objectives],
            "hypervolume": front.hypervolume,
            "reference": {each.metric: each.reference for each in front.objectives},
            "configurations": front.rows,
        },
        indent=1,
        allow_nan=False,
    )


def _line(place: int, row: Row, names: Sequence[str]) -> list[str]:
    seeds = str(row["seeds"])
    if row["missing_seeds"] is not None:
        seeds += f" (missing {row['missing_seeds']})"
    return [str(place), row["label"], seeds, *(_cell(row, name) for name in names)]


def _cell(row: Row, name: str) -> str:
    number = number_of(row, "test", name)
    return (
        f"{with_interval(number)} [{with_null(number)}]" if is_gap(name) else with_interval(number)
    )


def _reading(front: Front, settings: EvaluationSettings) -> str:
    gaps = sorted({definition_of(name) for name in front.names if is_gap(name)})
    percent = f"{100 * settings.confidence:g} %"
    where = f"shown on test (protocol {settings.protocols[0]}), in AUC points"
    chosen = f"Chosen on validation, {where}"
    if gaps:
        chosen += f"; gaps are {', '.join(gaps)}"
    return (
        f"{chosen}. Intervals: {percent}, {settings.replicates} draws of patients. Null: what a"
        f" fair model would show, {settings.permutations} permutations (mean, to the {percent}"
        " bound)."
        f" Hypervolume on validation: {front.hypervolume:.4g} (reference {front.reference})."
    )
