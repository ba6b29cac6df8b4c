"""What a study keeps of a data set, so that its patients can be described without the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.population.characteristics import characteristics
from fairfm_core.data.population.flow import preparation_flow


def cohort_record(data: PreparedData, age_edges: Sequence[float]) -> dict[str, Any]:
    """Origin, flow and characteristics of a data set as JSON values: counts, no row of a patient.

    Names of files are kept, paths are not.
    """
    manifest, table = data.manifest, characteristics(data.frame, age_edges)
    cells = table.astype("object").where(table.notna(), None)
    return {
        "folder": data.folder.name,
        "kind": manifest.kind,
        "size": manifest.size,
        "resizing": manifest.resizing,
        "origin": manifest.origin,
        "digests": manifest.digests.model_dump(),
        "counts": manifest.counts,
        "notes": manifest.notes,
        "flow": [asdict(step) for step in preparation_flow(manifest.notes, manifest.counts)],
        "characteristics": {"columns": list(table.columns), "rows": cells.to_numpy().tolist()},
    }
