"""The work of `fairfm evaluate`: prediction files in; metrics, gaps and weights as parquet out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pandas as pd

from fairfm_core.config import EvaluationSettings, ProtocolName
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import read_predictions
from fairfm_core.evaluation.protocols import PROTOCOLS
from fairfm_core.evaluation.records import Evaluation, write_evaluation


def evaluate_files(paths: Sequence[Path], out: Path, settings: EvaluationSettings) -> Evaluation:
    """Evaluate one model's prediction files (or folders of them) and write the tables to `out`.

    Raises BadInput for files that are no predictions or not of one model.
    """
    files = [file for path in paths for file in _prediction_files(path)]
    evaluation = evaluate([read_predictions(file) for file in files], settings)
    write_evaluation(evaluation, out)
    return evaluation


def known_protocols(names: Sequence[str]) -> tuple[ProtocolName, ...]:
    """The names as protocols; raises BadInput for one that is none."""
    for name in names:
        if name not in PROTOCOLS:
            hint = did_you_mean(name, PROTOCOLS)
            raise BadInput(f"unknown protocol {name!r}{hint}; known: {', '.join(PROTOCOLS)}")
    return tuple(cast(ProtocolName, name) for name in names)


def short_table(evaluation: Evaluation, settings: EvaluationSettings) -> str:
    """Mean AUCs and gaps as text; every number says split, protocol, definition and interval."""
    metrics = evaluation.metrics[evaluation.metrics["pathology"] == "mean"]
    lines = [_metric_line(row) for _, row in metrics.iterrows()]
    lines += [_gap_line(row) for _, row in evaluation.gaps.iterrows()]
    table = pd.DataFrame(lines, columns=["split", "protocol", "what", "value", "interval", "note"])
    percent = f"{100 * settings.confidence:g} %"
    table = table.rename(columns={"interval": f"{percent} interval"})
    how = (
        f"Values are fractions. Intervals: {settings.replicates} draws of patients. Null: what a"
        f" fair model would show, {settings.permutations} permutations of groups over patients,"
        f" mean and {percent} bound. The interval of a gap leans upward and never holds 0: compare"
        " a gap with its null."
    )
    return "\n".join([_aligned(table), *_weighed(evaluation.weights), how])


def _weighed(weights: pd.DataFrame) -> list[str]:
    """For each protocol that weighs images, the smallest effective sample of each split."""
    shown = weights[(weights["protocol"] != "full") & weights["ess"].notna()]
    lines = []
    for (protocol, split), rows in shown.groupby(["protocol", "split"], sort=False):
        row = rows.sort_values("ess").iloc[0]
        lines.append(
            f"{protocol}, {split}: smallest effective sample {row['ess']:.0f} of"
            f" {row['unique_images']} images ({row['pathology']}, {row['attribute']}="
            f"{row['group']}); see weights.parquet"
        )
    return lines


def _prediction_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.parquet"))
    if not files:
        raise BadInput(f"folder {path} holds no .parquet file of predictions")
    return files


def _metric_line(row: pd.Series) -> list[str]:
    where = "all images" if row["attribute"] == "overall" else f"{row['attribute']}={row['group']}"
    name = "mean AUC" if row["metric"] == "auc" else f"worst-group mean AUC of {row['attribute']}"
    count = f"{row['n']} images, {row['n_patients']} patients" if pd.notna(row["n"]) else ""
    return [*_start(row), f"{name}, {where}", *_number(row), _notes(count, row["reason"])]


def _gap_line(row: pd.Series) -> list[str]:
    what = f"gap of {row['attribute']} ({row['definition']})"
    null = ""
    if pd.notna(row["null_mean"]):
        null = f"null {row['null_mean']:.4f} (to {row['null_hi']:.4f}), p {row['p_value']:.3f}"
    order = f"{row['worst_group']} to {row['best_group']}" if pd.notna(row["worst_group"]) else ""
    return [*_start(row), what, *_number(row), _notes(order, null, row["reason"])]


def _start(row: pd.Series) -> list[str]:
    return [str(row["split"]), str(row["protocol"])]


def _number(row: pd.Series) -> list[str]:
    value = f"{row['value']:.4f}" if pd.notna(row["value"]) else "undefined"
    interval = f"[{row['lo']:.4f}, {row['hi']:.4f}]" if pd.notna(row["lo"]) else "none"
    return [value, interval]


def _notes(*notes: str | None) -> str:
    return "; ".join(str(note) for note in notes if pd.notna(note) and note)


def _aligned(table: pd.DataFrame) -> str:
    """Columns of text, each as wide as its longest entry and flush left."""
    rows = [list(map(str, table.columns)), *table.astype(str).values.tolist()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
