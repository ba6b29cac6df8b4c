"""Caps of a study: how much all its runs together may use, and what that costs."""

from __future__ import annotations

from pydantic import Field, model_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.errors import BadInput


class Prices(Frozen):
    """What an hour costs, in any currency."""

    gpu_hour: float = Field(0.0, ge=0)
    """An hour of one GPU."""
    hour: float = Field(0.0, ge=0)
    """An hour of the whole run, such as that of a head node."""

    def cost(self, hours: float, gpu_hours: float) -> float:
        """The cost of a run."""
        return hours * self.hour + gpu_hours * self.gpu_hour


class Caps(Frozen):
    """Where the runs of a study end, together; with a higher cap the same command goes on."""

    max_trials: int | None = Field(None, ge=1)
    """Trials that are finished, or that the halving of a search has paused."""
    max_hours: float | None = Field(None, gt=0)
    """Hours by the clock."""
    max_gpu_hours: float | None = Field(None, gt=0)
    """Hours of all GPUs together."""
    max_cost: float | None = Field(None, gt=0)
    """Cost by `prices`."""
    prices: Prices | None = None
    """What an hour costs; without it no cost is shown."""

    @model_validator(mode="after")
    def _priced(self) -> Caps:
        if self.max_cost is not None and self.prices is None:
            raise BadInput("max_cost needs prices, such as prices: {gpu_hour: 2.5}")
        return self

    def reached(self, hours: float, gpu_hours: float) -> str | None:
        """Which cap is reached, in words; None if none is. Trials are counted elsewhere."""
        cost = 0.0 if self.prices is None else self.prices.cost(hours, gpu_hours)
        used = {
            "max_hours": (hours, self.max_hours),
            "max_gpu_hours": (gpu_hours, self.max_gpu_hours),
            "max_cost": (cost, self.max_cost),
        }
        for name, (amount, cap) in used.items():
            if cap is not None and amount >= cap:
                return f"caps.{name} of {cap:g} is reached"
        return None
