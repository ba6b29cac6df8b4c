"""What `fairfm card` writes: the card as Markdown for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.card.card import YOURS, card_model, model_card
from analysis.front.study_analysis import analyse_study
from analysis.paper.markdown import escaped
from analysis.wording import metric_title, with_interval, with_null
from fairfm_core.evaluation.tables import Row

TITLES = {
    "outcomes": "What it predicts",
    "architecture": "Network",
    "initialisation": "Initial weights",
    "training": "Training",
    "fairness": "Sampling and loss",
    "software": "Software",
    "sources": "Sources",
    "flow": "What came and what was left out",
    "partitions": "Splits",
    "label_source": "Labels",
    "label_policy": "Uncertain labels",
    "missing": "Missing values",
    "terms": "Terms and identity",
    "metrics": "Metrics",
    "uncertainty": "Uncertainty",
    "robustness": "Repetition",
    "selection": "Choice",
}


def write_card(
    location: str, study: str | None, trial: str | None, out: str | Path | None = None
) -> Iterator[str]:
    """Write card.md and card.json beside the study or into `out`; yields their paths.

    Raises BadInput as `analyse_study` and `card_model`.
    """
    analysis = analyse_study(location, study)
    card = model_card(analysis, card_model(analysis, trial))
    text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in {"card.md": card_markdown(card), "card.json": text}.items():
        yield analysis.write(content.encode(), name, out)


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card as a page; numbers in points."""
    model, evaluation = card["model"], card["evaluation"]
    seeds = ", ".join(model["seeds"])
    lines = [
        f"# Model card: {escaped(model['name'])}",
        "",
        f"Study {escaped(model['study'])}, seeds {seeds}; {escaped(model['chosen'])}."
        " Filled in by fairfm from the study's files.",
        "",
        "## Use",
        "",
        *(f"- **{name}**: *{YOURS}*" for name in card["author"]),
        "",
        "## Model",
        "",
        *_facts(model),
        *(f"- **Licence of {name}**: {escaped(text)}" for name, text in model["licences"].items()),
        *_trainings(model["trainings"]),
        "",
        "## Data",
        "",
        *_facts(card["data"]),
        "",
        "## Evaluation",
        "",
        f"Split {evaluation['split']}, protocol {evaluation['protocol']}, in points (1 point ="
        " 0.01); intervals in brackets.",
        "",
        *_facts(evaluation),
        "",
        *_table(
            ("AUC of everybody", "", "images", "patients"),
            [_overall_cells(row) for row in evaluation["overall"]],
        ),
        "",
        *_group_tables(evaluation["by_group"]),
        "### Gaps between groups",
        "",
        *_table(
            ("attribute", "metric", "definition", "gap", "what a fair model would show", "order"),
            [_gap_cells(row) for row in evaluation["gaps"]],
        ),
        "",
        "## What these numbers cannot say",
        "",
        *(
            f"- **{escaped(title)}**: {escaped(' '.join(sentences))}"
            for title, sentences in card["limits"].items()
        ),
        "",
        "A limit that is not named here may still be one.",
        "",
        "## Provenance",
        "",
        *(f"- **{name}**: {_text(value)}" for name, value in card["provenance"].items()),
        "",
    ]
    return "\n".join(lines)


def _facts(held: Mapping[str, Any]) -> Iterator[str]:
    for name, title in TITLES.items():
        if name in held:
            yield f"- **{title}**: {escaped(held[name].removeprefix(f'{title}: '))}"


def _trainings(trainings: Mapping[str, str]) -> Iterator[str]:
    named = ", ".join(f"{name}: {place}" for name, place in trainings.items())
    yield f"- **Predictions and histories in the results folder**: {escaped(named)}"


def _group_tables(rows: Sequence[Row]) -> Iterator[str]:
    """For each attribute, the metrics by its groups, and why numbers are undefined."""
    for attribute in dict.fromkeys(row["attribute"] for row in rows):
        own = [row for row in rows if row["attribute"] == attribute]
        groups = {row["group"]: row for row in own}
        cells = {(row["group"], row["metric"]): row for row in own}
        yield f"### {escaped(attribute)}: means over pathologies"
        yield ""
        sizes = (
            f"{g} ({r['n']:,} images, {r['n_patients']:,} patients)" for g, r in groups.items()
        )
        metrics = dict.fromkeys(row["metric"] for row in own)
        body = [
            (metric_title(metric), *(_in_points(cells.get((group, metric))) for group in groups))
            for metric in metrics
        ]
        yield from _table(("metric", *sizes), body)
        yield ""
        yield from _reasons(own)


def _in_points(row: Row | None) -> str:
    return "" if row is None else with_interval(row)


def _reasons(rows: Sequence[Row]) -> Iterator[str]:
    """Why numbers of a group are undefined, each reason once."""
    told = dict.fromkeys((r["group"], r["reason"]) for r in rows if r["value"] is None)
    yield from (f"- {escaped(f'{group}: {reason}')}." for group, reason in told)
    if told:
        yield ""


def _overall_cells(row: Row) -> tuple[str, ...]:
    name = "mean over pathologies" if row["pathology"] == "mean" else row["pathology"]
    return (name, _shown(row), f"{row['n']:,}", f"{row['n_patients']:,}")


def _shown(row: Row) -> str:
    """The number with its interval, or why there is none."""
    return with_interval(row) if row["value"] is not None else f"undefined: {row['reason']}"


def _gap_cells(row: Row) -> tuple[str, ...]:
    what = (row["attribute"], metric_title(row["metric"]), row["definition"])
    if row["value"] is None:
        return (*what, _shown(row), "", "")
    order = "" if row["worst_group"] is None else f"{row['worst_group']} → {row['best_group']}"
    return (*what, with_interval(row), with_null(row), order)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(map(escaped, head)) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(escaped(str(cell)) for cell in row) + " |"


def _text(value: Any) -> str:
    return escaped(", ".join(value) if isinstance(value, list) else str(value))
