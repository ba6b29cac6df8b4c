"""Searches as a user writes them; no data are read and nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sweeps.planning.study import StudySpec

PARAMETERS: dict[str, Any] = {
    "adaptation.base_lr": {"low": "1e-4", "high": 1e-2, "log": True},
    "adaptation.drop_path": {"low": 0, "high": 0.3},
}
TUNE = {"method": "end_to_end", "recipe": "smoke"}
PROBE = {"method": "linear_probe", "recipe": "smoke"}
CONDITIONAL: dict[str, Any] = {
    "adaptation": {
        "probe": {
            "value": PROBE,
            "parameters": {"adaptation.lr": {"low": 0.01, "high": 1, "log": True}},
        },
        "tune": {"value": TUNE, "parameters": PARAMETERS},
    }
}

MakeStudy = Callable[..., StudySpec]


@pytest.fixture
def make_study() -> MakeStudy:
    """Makes a study with a search; `search` are its values, the rest those of the study."""

    def make(search: dict[str, Any] | None = None, **changes: Any) -> StudySpec:
        base = {
            "data": {"dataset": "somewhere", "balance": "sex"},
            "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
            "adaptation": TUNE,
        }
        values = {
            "study": "searched",
            "base": base,
            "objectives": [
                {"metric": "val/auc", "goal": "maximize"},
                {"metric": "val/gap_sex", "goal": "minimize"},
            ],
            "evaluation": {"attributes": ["sex"], "replicates": 20},
            "search": {"parameters": PARAMETERS, **(search or {})},
        }
        return StudySpec.model_validate({**values, **changes})

    return make
