"""What `fairfm ensemble` writes and prints, from the members' predictions."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.ensembles.members import Members, check_not_read, read_pool
from analysis.ensembles.text import search_text
from analysis.evaluation.findings import findings_of
from analysis.evaluation.page import evaluation_page
from analysis.wording import counted, wrapped
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.ensembles.ensemble import combined, ensemble_of
from fairfm_core.evaluation.ensembles.pool import Pool
from fairfm_core.evaluation.ensembles.report import reported_on_test
from fairfm_core.evaluation.ensembles.subset_search import SubsetSearch, search_subsets
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import write_predictions

ENSEMBLE_FILE = "ensemble.parquet"
SUBSETS_FILE = "subsets.parquet"
FRONT_FOLDER = "front"
EVALUATE = "fairfm evaluate"


def write_ensemble(members: Members, out: Path, combine: str, settings: EvaluationSettings) -> str:
    """Write the ensemble of all members; returns its numbers as text.

    Members are added in alphabetical order, as in a search. Raises BadInput for fewer than two
    members and for members that cannot be paired.
    """
    target = out / ENSEMBLE_FILE
    check_not_read(members.files, [target])
    names = sorted(members.files)
    read = [members.read(name) for name in names]
    ensemble = combined([each.predictions for each in read], combine, names)
    settings = settings.model_copy(update={"attributes": read[0].attributes})
    findings = findings_of(evaluate(ensemble, settings), settings, ensemble)
    out.mkdir(parents=True, exist_ok=True)
    write_predictions(ensemble.frame, target)
    page = evaluation_page(
        findings,
        list(dict.fromkeys(note for each in read for note in each.notes)),
        "ensemble",
        f"wrote {target}; `{EVALUATE} {target} --out FOLDER` writes every number",
    )
    title = f"ensemble of {counted(len(names), 'member')}, mean {combine}: {' + '.join(names)}"
    return "\n".join([*wrapped(title), page])


def write_search(
    members: Members,
    out: Path,
    combine: str,
    settings: EvaluationSettings,
    most: int | None = None,
) -> str:
    """Search all subsets on validation; write their table and the front's predictions.

    Returns the front as text, with its test numbers. Raises BadInput as `search_subsets`.
    """
    subsets, front = out / SUBSETS_FILE, out / FRONT_FOLDER
    check_not_read(members.files, [subsets, front])
    settings = members.evaluated_by(settings)
    pool, notes = read_pool(members)
    search = search_subsets(pool, combine, settings, most)
    reported = list(reported_on_test(pool, search, search.front, settings))
    (best,) = reported_on_test(pool, search, [search.best_member], settings)
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(_table(search), subsets, compression="zstd")
    _write_front(pool, search, front)
    text = search_text(search, reported, best, settings)
    count = counted(len(reported), "file")
    wrote = wrapped(f"wrote {subsets} and {count} of predictions to {front}")
    return "\n".join([text, *(line for note in notes for line in wrapped(note)), *wrote])


def _write_front(pool: Pool, search: SubsetSearch, folder: Path) -> None:
    """One file of predictions per ensemble, in the order shown; removes those of earlier runs."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.parquet"):
        if old.stem.isdecimal():
            old.unlink()
    for number, m in enumerate(search.front, start=1):
        ensemble = ensemble_of(pool, search.places(m), search.combine)
        write_predictions(ensemble.frame, folder / f"{number}.parquet")


def _table(search: SubsetSearch) -> pa.Table:
    """One row per subset: members, size, validation numbers, place on the front."""
    place = {m: number for number, m in enumerate(search.front, start=1)}
    rows = range(len(search.bits_M))
    columns = {
        "members": pa.array([list(search.members(m)) for m in rows], pa.list_(pa.string())),
        "size": pa.array([len(search.places(m)) for m in rows], pa.int64()),
    }
    for objective, value_M in zip(search.objectives, search.value_MO.T, strict=True):
        columns[objective.metric.replace("/", "_")] = pa.array(value_M, pa.float64())
    columns["on_front"] = pa.array(search.front_M, pa.bool_())
    columns["front"] = pa.array([place.get(m) for m in rows], pa.int64())
    return pa.table(columns)
