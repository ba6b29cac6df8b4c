"""The evaluate stage: one adaptation's predictions become metrics and gaps.

What is stored of an evaluation is one file, `evaluation.parquet`: metrics, gaps, weights and
thresholds below one another, told apart by the column `table`, and in every draw of patients the
numbers that fronts are made of. Differences of groups and all other numbers in every draw take
eight times that room and are rarely asked for: they are functions of the predictions and the
settings, and are computed again when they are. Older versions stored a file for each table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.fingerprint import fingerprint as fingerprint_of
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.numbers import gap_name
from fairfm_core.evaluation.predictions import Predictions, read_predictions
from fairfm_core.evaluation.summary import validation_metrics
from fairfm_core.evaluation.tables import (
    GAPS_FILE,
    METRICS_FILE,
    TABLES,
    Evaluation,
    LazyTables,
    evaluation_from,
    read_parquet,
    stacked,
)
from fairfm_core.stages import REVISIONS, Report, Stage
from fairfm_core.storage.artifact import Artifact

EVALUATION_FILE = "evaluation.parquet"
KEPT = ("metrics", "gaps", "weights", "thresholds")
"""The tables of a trial's evaluation that are stored whole."""
ABOUT = "fairfm"
"""Key of what the file says of itself: the `rows` of each table, and the numbers whose `draws` it
holds."""
DRAWS = "replicates"
LEVEL = 9
"""Of zstd: a thirtieth smaller than the usual one, and a millisecond slower."""
AGREEMENT = 1e-9
"""By which values that are computed again may differ from the stored ones, on another processor."""


def run_evaluation(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write the evaluation; report only validation values."""
    from fairfm_core.evaluation.evaluate import evaluate  # loads numba, which readers do without

    settings = EvaluationSettings(**stage.config)
    predictions = stored_predictions(store, stage.inputs["adapt"])
    evaluation = evaluate(predictions, settings, (*KEPT, DRAWS))
    followed = () if stage.followed is None else stage.followed.metrics
    write_stored(evaluation, folder, KEPT, kept_draws(settings, followed))
    report(validation_metrics(evaluation))


def kept_draws(settings: EvaluationSettings, followed: Iterable[str] = ()) -> list[str]:
    """The numbers that are stored in every draw: those of the usual objectives, and of the study's
    (`val/auc`)."""
    gaps = [gap_name(AUC.name, "gap_of_mean", attribute) for attribute in settings.attributes]
    return sorted({AUC.name, *gaps, *(metric.partition("/")[2] for metric in followed)})


def write_stored(
    evaluation: Evaluation, folder: Path, tables: Sequence[str], draws: Sequence[str] = ()
) -> None:
    """Write the named tables, and the named numbers in every draw, as one file."""
    kept = {name: evaluation.tables[name] for name in tables} | {DRAWS: evaluation.draws(draws)}
    about = {"rows": {name: len(table) for name, table in kept.items()}, "draws": list(draws)}
    whole = stacked(kept)
    types = {field.name: field.type for field in whole.schema}
    lists = [f"{name}.list.element" for name, kind in types.items() if pa.types.is_list(kind)]
    numbers = [name for name, kind in types.items() if pa.types.is_floating(kind)]
    with pq.ParquetWriter(
        folder / EVALUATION_FILE,
        whole.schema,
        compression="zstd",
        compression_level=LEVEL,
        use_dictionary=[name for name in types if name not in numbers],
        use_byte_stream_split=[*numbers, *lists],
        write_statistics=False,
        store_schema=False,
    ) as writer:
        writer.write_table(whole)
        writer.add_key_value_metadata({ABOUT: json.dumps(about)})


def evaluation_files(stage: Artifact) -> tuple[str, ...]:
    """The files of a stored evaluation that hold its metrics and gaps."""
    return (EVALUATION_FILE,) if stage.has(EVALUATION_FILE) else (METRICS_FILE, GAPS_FILE)


def stored_predictions(store: ArtifactStore, adapt: str) -> list[Predictions]:
    """A finished adaptation's predictions of validation and test; raises Damaged."""
    predictions = []
    stage = _opened(store, "adapt", adapt)
    for split in EVALUATION_SPLITS:
        name = f"predictions/{split}.parquet"
        with stage.local_copy(name) as path:
            try:
                predictions.append(read_predictions(path))
            except (BadInput, OSError) as error:
                raise stage.damaged(f"{name} cannot be read: {error}") from error
    return predictions


def stored_evaluation(
    store: ArtifactStore, kind: str, fingerprint: str, tables: Iterable[str] = TABLES
) -> Evaluation:
    """The named tables of a finished evaluation, the others empty; raises Damaged.

    A table that is not stored is computed from the predictions when it is asked for, which takes a
    second and raises BadInput where another version has evaluated them.
    """
    stage = _opened(store, kind, fingerprint)
    try:
        if stage.has(EVALUATION_FILE):
            return _of_one_file(store, stage, set(tables))
        return _of_files(stage, tables)
    except Damaged:
        raise
    except (BadInput, OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise stage.damaged(f"a table cannot be read: {error}") from error


@dataclass(frozen=True, eq=False)
class StoredEvaluation(Evaluation):
    """An evaluation of which some numbers in every draw are at hand."""

    drawn: Evaluation
    """Holds these numbers."""
    names: frozenset[str]
    """Theirs."""

    def draws(self, names: Iterable[str] | None = None) -> pa.Table:
        """As those of the evaluation itself."""
        wanted = None if names is None else list(names)
        at_hand = wanted is not None and self.names.issuperset(wanted)
        return self.drawn.draws(wanted) if at_hand else super().draws(wanted)


def _of_one_file(store: ArtifactStore, stage: Artifact, wanted: set[str]) -> Evaluation:
    whole = read_parquet(pa.BufferReader(stage.read_bytes(EVALUATION_FILE)), EVALUATION_FILE)
    about = json.loads(whole.schema.metadata[ABOUT.encode()])
    kept, start = {}, 0
    for name, rows in about["rows"].items():
        schema = TABLES[name].schema
        kept[name] = whole[start : start + rows].select(schema.names).cast(schema)
        start += rows
    draws = kept.pop(DRAWS)
    again = cache(partial(_computed_again, store, stage, kept))

    def table(name: str) -> pa.Table:
        if name not in wanted:
            return TABLES[name].empty()
        return kept[name] if name in kept else again().tables[name]

    if DRAWS not in wanted:
        draws = draws[:0]
    names = frozenset(about["draws"])
    return StoredEvaluation(LazyTables(table), Evaluation({DRAWS: draws}), names)


def _of_files(stage: Artifact, tables: Iterable[str]) -> Evaluation:
    """As older versions stored it."""
    files = {name: TABLES[name].file for name in tables}
    return evaluation_from(
        {
            name: stage.read_bytes(file)
            for name, file in files.items()
            if not TABLES[name].newer or stage.has(file)
        }
    )


def _computed_again(
    store: ArtifactStore, stage: Artifact, kept: Mapping[str, pa.Table]
) -> Evaluation:
    """The whole evaluation from its predictions; BadInput unless its values are the stored ones."""
    from fairfm_core.evaluation.evaluate import evaluate  # loads numba

    declared = stage.marker.record.get("stage") or {}
    named = {name: declared.get(name) for name in ("kind", "config", "digest", "inputs")}
    if fingerprint_of(named | {"revision": REVISIONS["evaluate"]}) == stage.fingerprint:
        predictions = stored_predictions(store, declared["inputs"]["adapt"])
        found = evaluate(predictions, EvaluationSettings(**declared["config"]))
        if all(_agree(kept[name], found.tables[name]) for name in ("metrics", "gaps")):
            return found
    raise BadInput(
        f"{stage.kind}/{stage.fingerprint} holds no such draws or differences and was evaluated by "
        "another version: run its study again with `fairfm sweep run STUDY`"
    )


def _agree(stored: pa.Table, computed: pa.Table) -> bool:
    """Whether two tables have the same rows with the same values."""
    one, other = (table["value"].to_numpy(zero_copy_only=False) for table in (stored, computed))
    same = len(one) == len(other)
    return same and np.allclose(one, other, rtol=0, atol=AGREEMENT, equal_nan=True)


def _opened(store: ArtifactStore, kind: str, fingerprint: str) -> Artifact:
    try:
        return store.artifact(kind, fingerprint)
    except FileNotFoundError:
        raise Damaged(kind, fingerprint, "it is missing") from None
