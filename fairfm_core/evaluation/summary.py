"""An evaluation as a flat dictionary of numbers, for trackers and objectives.

Keys have exactly one slash: `<split>/auc` (mean over pathologies, everybody), `<split>/gap_<a>`
(gap_of_mean), `<split>/mean_of_gaps_<a>`, `<split>/worst_group_auc_<a>`, and the limits of the
test interval, `test_ci/auc_lo`, `test_ci/gap_<a>_hi` and so on. All are of the first protocol of
the evaluation's settings; numbers of the others stand in its tables alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fairfm_core.evaluation.tables import Evaluation

SUMMARY_SPLITS = ("val", "test")
GAP_KEYS = {"gap_of_mean": "gap", "mean_of_gaps": "mean_of_gaps"}
PLAIN = "auc"
"""The metric whose name is left out of the names of its gaps."""


def worst_group_name(metric: str, attribute: str) -> str:
    """Name of the worst group's mean metric: `worst_group_auc_race`."""
    return f"worst_group_{metric}_{attribute}"


def gap_name(metric: str, definition: str, attribute: str) -> str:
    """Name of a gap: `gap_race` of the AUC, `gap_brier_race` of another metric."""
    middle = "" if metric == PLAIN else f"{metric}_"
    return f"{GAP_KEYS[definition]}_{middle}{attribute}"


def final_metrics(evaluation: Evaluation) -> dict[str, float]:
    """The numbers of a finished trial; an undefined one is left out, never replaced.

    `quality/undefined_auc` is the number of undefined AUCs (pathology x group cells) in all splits.
    """
    flat: dict[str, float] = {}
    for split, name, row in _named_rows(evaluation):
        limits = {f"test_ci/{name}_{end}": row[end] for end in ("lo", "hi") if split == "test"}
        numbers = {f"{split}/{name}": row["value"]} | limits
        flat |= {key: float(number) for key, number in numbers.items() if pd.notna(number)}
    cells = _first_protocol(evaluation, evaluation.metrics)
    cells = cells[(cells["metric"] == "auc") & (cells["pathology"] != "mean")]
    return flat | {"quality/undefined_auc": float(cells["value"].isna().sum())}


def validation_metrics(evaluation: Evaluation) -> dict[str, float]:
    """The `val/` numbers alone: what a search, an early stop or a choice may read.

    Test rows are removed before anything is computed, so no test number can pass.
    """
    metrics, gaps = (
        frame[frame["split"] == "val"] for frame in (evaluation.metrics, evaluation.gaps)
    )
    flat = final_metrics(Evaluation(metrics, gaps))
    return {key: value for key, value in flat.items() if key.startswith("val/")}


def _named_rows(evaluation: Evaluation) -> Iterator[tuple[str, str, pd.Series]]:
    """Split, name and row of every number that is part of the summary."""
    metrics, gaps = (
        _first_protocol(evaluation, frame) for frame in (evaluation.metrics, evaluation.gaps)
    )
    means = metrics[metrics["pathology"] == "mean"]
    for _, row in means[(means["metric"] == "auc") & (means["attribute"] == "overall")].iterrows():
        yield row["split"], "auc", row
    for _, row in means[means["metric"] == "worst_group_auc"].iterrows():
        yield row["split"], worst_group_name(PLAIN, row["attribute"]), row
    for _, row in gaps[gaps["metric"] == "auc"].iterrows():
        yield row["split"], gap_name(PLAIN, row["definition"], row["attribute"]), row


def _first_protocol(evaluation: Evaluation, frame: pd.DataFrame) -> pd.DataFrame:
    kept = (frame["protocol"] == evaluation.protocol) & frame["split"].isin(SUMMARY_SPLITS)
    return frame[kept]
