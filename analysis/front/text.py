"""A front as text for the terminal, and as JSON for a program."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence

from analysis.front.choices import Chosen, distinct
from analysis.front.front import Front
from analysis.front.rows import number_of
from analysis.results.numbers import is_gap
from analysis.results.results import StudyResults
from analysis.wording import (
    EXTREMES,
    UNDEFINED,
    aligned,
    corrected,
    counted,
    definition_of,
    points,
    signed,
    title_of,
    with_interval,
    with_null,
)
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.evaluation.tables import Row

MOST_LISTED = 10
"""Configurations beyond a constraint that are listed one by one."""
MOST_MEMBERS = 60
"""Members of the front, and configurations without a value, that are listed one by one."""
ORIGINS = "Rules pareto and dto are MEDFAIR's; minimax_pareto is fairfm's."


def front_text(front: Front, settings: EvaluationSettings) -> str:
    """The front's members with test values, the configurations kept out, and how to read both."""
    names = list(dict.fromkeys(["auc", *front.names]))
    head = ["#", "configuration", "seeds", *(title_of(name) for name in names), "P(front)"]
    members = front.members
    rows = [_line(n, row, names) for n, row in enumerate(members[:MOST_MEMBERS], start=1)]
    lines = [f"front: {len(members)} of {counted(len(front.table), 'configuration')}"]
    lines += [aligned([head, *rows])] if rows else []
    if len(members) > MOST_MEMBERS:
        lines.append(f"... {len(members) - MOST_MEMBERS:,} more members (all: front.csv, --json)")
    lines += parameters_text(front)
    lines += apparent_text(front)
    lines += _kept_out(front)
    lines += [f"stopped by the search: {stopped_text(front.stopped)}"] if front.stopped else []
    reading = textwrap.wrap(_reading(front, settings), 100, break_on_hyphens=False)
    return "\n".join([*lines, *reading])


def stopped_text(stopped: Mapping[str, int]) -> str:
    """`4 trials after epoch 2, 1 trial after epoch 6`."""
    return ", ".join(f"{counted(n, 'trial')} {place}" for place, n in stopped.items())


def _kept_out(front: Front) -> list[str]:
    """The configurations without a place; of many beyond a constraint, their number."""
    beyond = [row for row in front.kept_out if row["group"] in front.infeasible]
    others = [row for row in front.kept_out if row["group"] not in front.infeasible]
    lines = [f"kept out: {row['label']}: {row['reason']}" for row in others[:MOST_MEMBERS]]
    if len(others) > MOST_MEMBERS:
        lines.append(f"kept out: {len(others) - MOST_MEMBERS:,} more (all: front.csv, --json)")
    lines += [f"kept out: {row['label']}: {row['reason']}" for row in beyond[:MOST_LISTED]]
    rest = len(beyond) - MOST_LISTED
    return lines + ([f"kept out: {rest} more beyond a constraint"] if rest > 0 else [])


def parameters_text(front: Front) -> list[str]:
    """What a search chose for the members of the front."""
    lines = []
    for row in front.members[:MOST_MEMBERS]:
        if chosen := front.parameters.get(row["group"]):
            pairs = ", ".join(f"{name} {choice}" for name, choice in chosen.items())
            lines.append(f"  {row['label']}: {pairs}")
    return ["parameters of the front's members:", *lines] if lines else []


def apparent_text(front: Front) -> list[str]:
    """What the first seeds of a search said of the front's members, all their seeds, and what a new
    training run may be expected to show."""
    if front.apparent is None and not front.expected:
        return []
    names = list(dict.fromkeys(["auc", *front.names]))
    lines = [_confirmed(front, row, names) for row in front.members[:MOST_MEMBERS]]
    first = "" if front.apparent is None else f"{front.apparent.hypervolume:.4g} → "
    volume = f"{first}{front.hypervolume:.4g}"
    if front.expected_hypervolume is not None:
        volume += f" ({front.expected_hypervolume:.4g})"
    head = (
        "apparent → confirmed (expected) on validation: at the first seeds, which a search chose "
        f"by; over all; of a new training run. Hypervolume {volume}:"
    )
    return [head, *(line for line in lines if line)]


def _confirmed(front: Front, row: Row, names: Sequence[str]) -> str:
    """One member's values; empty where no search chose it."""
    first = {} if front.apparent is None else front.apparent.by_group.get(row["group"], {})
    expected = front.expected.get(row["group"], {})
    if not first and not expected:
        return ""
    parts = []
    for name in names:
        if row[f"val_{name}"] is None:
            continue
        before = f"{points(first[name])} → " if name in first else ""
        after = f" ({points(expected[name])})" if name in expected else ""
        parts.append(f"{title_of(name)} {before}{points(row[f'val_{name}'])}{after}")
    return f"  {row['label']}: {', '.join(parts)}; {counted(row['seeds'], 'seed')}"


def _certainty(front: Front, settings: EvaluationSettings) -> str:
    if front.no_certainty:
        return f"No P(front): {front.no_certainty}."
    return (
        f"P(front): share of {settings.replicates} joint draws of test {settings.resampling} and of"
        f" {'pre-trainings and their seeds' if front.both_levels else 'seeds'} in which the"
        " configuration is on the front."
    )


def choices_text(chosen: Sequence[Chosen]) -> str:
    """What each selection rule chooses on validation, and how optimistic the choice was."""
    lines = []
    for rules, each in distinct(chosen):
        val, test = (each.number(split, "auc") for split in EVALUATION_SPLITS)
        optimism = each.optimism("auc")
        gain = "" if optimism is None else f", optimism {signed(optimism)}"
        aucs = f"AUC {with_interval(val)} on validation, {with_interval(test)} on test{gain}"
        lines.append(f"chosen by {rules}: {each.label}: {aucs}")
    lines += [f"no choice by {each.rule}: {each.reason}" for each in chosen if each.reason]
    lines += [ORIGINS] if lines else []
    return "\n".join(lines)


def front_json(front: Front, chosen: Sequence[Chosen], results: StudyResults) -> str:
    """The front's table and hypervolume as JSON; undefined values are null.

    `left_out` holds the trials whose stored results are damaged, with the reasons;
    `one_pretraining` says which configurations rest on a single pre-training.
    """
    return json.dumps(
        {
            "study": results.study,
            "objectives": [objective.model_dump() for objective in front.objectives],
            "hypervolume": front.hypervolume,
            **(
                {"apparent_hypervolume": front.apparent.hypervolume}
                if front.apparent is not None
                else {}
            ),
            "reference": {each.metric: each.reference for each in front.objectives},
            "choices": {each.rule: each.label for each in chosen},
            "configurations": front.rows,
            **({"expected": front.expected} if front.expected else {}),
            **({"parameters": front.parameters} if front.parameters else {}),
            **({"stopped": front.stopped} if front.stopped else {}),
            "left_out": results.left_out,
            "one_pretraining": results.shared_pretrainings,
        },
        indent=1,
        allow_nan=False,
    )


def _line(place: int, row: Row, names: Sequence[str]) -> list[str]:
    seeds = seeds_text(row)
    if row["missing_seeds"] is not None:
        seeds += f" (missing {row['missing_seeds']})"
    probability = UNDEFINED if row["test_p_front"] is None else f"{row['test_p_front']:.2f}"
    return [str(place), row["label"], seeds, *(_cell(row, name) for name in names), probability]


def seeds_text(row: Row) -> str:
    """How many seeds a configuration has: `6`, or `6 (2 pre-trainings)`."""
    if not row.get("pretrainings"):
        return str(row["seeds"])
    return f"{row['seeds']} ({counted(row['pretrainings'], 'pre-training')})"


def _cell(row: Row, name: str) -> str:
    number = number_of(row, "test", name)
    notes = with_null(number) if is_gap(name) else corrected(number)
    return f"{with_interval(number)} [{notes}]" if notes else with_interval(number)


def _reading(front: Front, settings: EvaluationSettings) -> str:
    gaps = sorted({definition_of(name) for name in front.names if is_gap(name)})
    percent = f"{100 * settings.confidence:g} %"
    where = f"shown on test (protocol {settings.protocols[0]}), in points (1 point = 0.01)"
    chosen = f"Chosen on validation, {where}; values are means over pathologies"
    if gaps:
        chosen += f", gaps are {' and '.join(gaps)}"
    return (
        f"{chosen}. Intervals: {percent}, {settings.replicates} draws of {settings.resampling}"
        f"{' and of the spread between training runs' if front.both_levels else ''}."
        f" Null: what a fair model would show in the same draws (mean, to the {percent} bound)."
        f" {EXTREMES}"
        f" {_certainty(front, settings)}"
        f" Hypervolume on validation: {front.hypervolume:.4g} (reference {front.reference})."
    )
