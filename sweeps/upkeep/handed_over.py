"""A trial's predictions as one file, for a colleague or another program."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation.predictions import Predictions, write_predictions
from fairfm_core.evaluation.stage import stored_predictions
from fairfm_core.storage.durable import write_durably
from sweeps.upkeep.trial_log import Asked


@dataclass(frozen=True)
class HandedOver:
    """What was written."""

    path: Path
    images: int
    splits: tuple[str, ...]
    predictions: Predictions


def export_predictions(store: ArtifactStore, asked: Asked, out: Path) -> HandedOver:
    """Write the predictions of a trial, all splits together, to `out`: parquet or csv by its name.

    They are compared with their checksums first. Raises BadInput for a stage without predictions, a
    trial that is not finished or damaged, and a file that cannot be written.
    """
    written = FORMS.get(out.suffix)
    if written is None:
        raise BadInput(f"{out} is neither {' nor '.join(FORMS)}; give such a name with --out")
    predictions = _read(store, asked)
    try:
        write_durably(out, written(predictions.frame))
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"{out} cannot be written ({reason}); name another with --out") from error
    splits = tuple(map(str, predictions.frame["split"].unique()))
    return HandedOver(out, len(predictions.frame), splits, predictions)


def _read(store: ArtifactStore, asked: Asked) -> Predictions:
    adapt = dict(asked.stages).get("adapt")
    if adapt is None:
        raise BadInput(f"{asked.name} has no predictions; name a trial")
    seen = store.inspect("adapt", adapt)
    if not seen.done and seen.damage is None:
        raise BadInput(f"trial {asked.name} has no predictions yet; `fairfm sweep status` says why")
    try:
        parts = stored_predictions(store, adapt)
    except Damaged as error:
        raise BadInput(
            f"the predictions of trial {asked.name} cannot be read ({error.reason}); "
            "`fairfm sweep run` of its study makes them again"
        ) from error
    return Predictions(pd.concat([part.frame for part in parts], ignore_index=True))


def _parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    write_predictions(frame, stream)
    return stream.getvalue()


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()


FORMS: dict[str, Callable[[pd.DataFrame], bytes]] = {".parquet": _parquet, ".csv": _csv}
"""How a file is written, by the ending of its name."""
