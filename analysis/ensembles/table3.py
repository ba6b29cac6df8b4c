"""The six ensembles of the paper's Table 3, made by rule from stored predictions of its models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.ensembles.members import Members, check_not_read, read_pool
from analysis.wording import EXTREMES, aligned, title_of, with_interval, with_null, wrapped
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.ensembles.ensemble import (
    PAPER_ENSEMBLES,
    PAPER_IDS,
    PAPER_MODELS,
    EnsembleRule,
    ensemble_of,
    members_of,
)
from fairfm_core.evaluation.ensembles.pool import Pool
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import write_predictions
from fairfm_core.evaluation.summary import summary_rows

FOLDER = "table3"


def write_table3(members: Members, out: Path, combine: str, settings: EvaluationSettings) -> str:
    """Write each ensemble that has two or more members; returns the table as text.

    Members are named as in Table 1, `MAE (M)`, or as in the zoo, `mae_med`. A rule with fewer than
    two members is listed as left out. Raises BadInput for other names.
    """
    titles = {_title(name): paths for name, paths in members.files.items()}
    members = replace(members, files=titles)
    check_not_read(titles, [out / FOLDER])
    settings = members.evaluated_by(settings)
    pool, notes = read_pool(members)
    models = {name: PAPER_MODELS[name] for name in PAPER_MODELS if name in titles}
    rows, left_out = [], []
    for rule in PAPER_ENSEMBLES:
        try:
            chosen = members_of(rule, models)
        except BadInput as error:
            left_out.append(f"left out: {error}")
            continue
        rows.append(_row(rule, chosen, pool, out, combine, settings))
    if not rows:
        raise BadInput(f"no ensemble of Table 3 has two of its members: {left_out[0]}")
    gaps = [title_of(f"gap_{attribute}") for attribute in settings.attributes]
    table = aligned([["ensemble", "members", "AUC", *gaps], *rows])
    reading = wrapped(_reading(combine, _shown_split(pool), settings), indent="")
    reading += [line for note in notes for line in wrapped(note)]
    return "\n".join([table, *left_out, *reading, *wrapped(f"wrote {out / FOLDER}")])


def _title(name: str) -> str:
    known = {**{title: title for title in PAPER_MODELS}, **PAPER_IDS}
    if name not in known:
        hint = did_you_mean(name, known)
        raise BadInput(f"{name!r} is not a model of Table 3{hint}; known: {', '.join(known)}")
    return known[name]


def _row(
    rule: EnsembleRule,
    members: tuple[str, ...],
    pool: Pool,
    out: Path,
    combine: str,
    settings: EvaluationSettings,
) -> list[str]:
    places = [pool.names.index(name) for name in sorted(members)]
    ensemble = ensemble_of(pool, places, combine)
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    write_predictions(ensemble.frame, out / FOLDER / f"{rule.name}.parquet")
    numbers = summary_rows(evaluate(ensemble, settings), _shown_split(pool))
    gaps = [numbers[f"gap_{attribute}"] for attribute in settings.attributes]
    shown = [f"{with_interval(gap)} [{with_null(gap)}]" for gap in gaps]
    return [rule.name, " + ".join(members), with_interval(numbers["auc"]), *shown]


def _shown_split(pool: Pool) -> str:
    """Test, or the last split if there is no test split."""
    return "test" if "test" in pool.splits else pool.splits[-1]


def _reading(combine: str, split: str, settings: EvaluationSettings) -> str:
    percent = f"{100 * settings.confidence:g} %"
    return (
        f"Split {split}, protocol full, in points (1 point = 0.01); AUC is the mean over"
        f" pathologies, gaps are gap_of_mean. Mean {combine} of the members. Intervals: {percent},"
        f" {settings.replicates} draws of {settings.resampling}. Null: what a fair model would"
        f" show in the same draws (mean, to the {percent} bound). {EXTREMES}"
    )
