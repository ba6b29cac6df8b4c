"""The epochs of a stage, and the share of its work that some of them are."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import TypeAdapter

from fairfm_core.config.adaptation import Adaptation
from fairfm_core.stages import PRETRAINS, Stage
from sweeps.planning.corpora import recipe_of


def epochs_of(stage: Stage) -> int | None:
    """The number of epochs of a stage that trains; None for another."""
    counted = EPOCHS_OF.get(stage.kind)
    return None if counted is None else counted(stage)


def share_of(stage: Stage, epoch: float) -> float:
    """The share of its training that a stage has done after this many epochs."""
    before = 0 if stage.continues is None else stage.continues.epochs
    return min(1.0, max(0.0, epoch - before) / (EPOCHS_OF[stage.kind](stage) - before))


def _of_adaptation(stage: Stage) -> int:
    recipe: Adaptation = TypeAdapter(Adaptation).validate_python(stage.config["adaptation"])
    return recipe.epochs


EPOCHS_OF: dict[str, Callable[[Stage], int]] = {
    **dict.fromkeys(PRETRAINS, lambda stage: recipe_of(stage).epochs),
    "adapt": _of_adaptation,
}
"""The number of epochs by kind of stage, of those that train."""
