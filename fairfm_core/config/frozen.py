"""Frozen records of plain values, how their content is serialised, and shared field types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from fairfm_core.errors import BadInput

Values = dict[str, Any]
"""Raw values, as a study writes them."""


class Frozen(BaseModel):
    """Base class of all records: immutable; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def content(self) -> dict[str, Any]:
        """The values that differ from their defaults, as plain JSON values."""
        return self.model_dump(mode="json", exclude_defaults=True)


def some_and_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names unchanged; raises BadInput if there are none or one is repeated."""
    if not names or len(set(names)) != len(names):
        raise BadInput(f"give at least one name, and each only once, not {list(names)}")
    return names


def one_or_several(names: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Names of attributes, whose order does not matter: sorted; a single one as text, not a
    list."""
    if isinstance(names, str):
        return names
    return names[0] if len(names) == 1 else tuple(sorted(some_and_distinct(names)))


def _ordered(scale: tuple[float, float]) -> tuple[float, float]:
    if not 0 < scale[0] <= scale[1] <= 1:
        raise BadInput(f"{list(scale)} must be two fractions with 0 < low <= high <= 1")
    return scale


AreaShares = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Smallest and largest share of an image's area that a random crop keeps."""

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""`auto`: bfloat16 on a GPU that supports it, float16 on an older GPU, float32 on a CPU."""
