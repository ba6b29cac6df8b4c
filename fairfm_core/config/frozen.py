"""Frozen records of plain values, and how their content is written down."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from fairfm_core.errors import BadInput


class Frozen(BaseModel):
    """Base of all records: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def content(self) -> dict[str, Any]:
        """The values that differ from their defaults, as plain JSON values."""
        return self.model_dump(mode="json", exclude_defaults=True)


def some_and_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names as they are; raises BadInput where there is none or one stands twice."""
    if not names or len(set(names)) != len(names):
        raise BadInput(f"name one or more, each once, not {list(names)}")
    return names
