"""The samplings of the training split that a study may name, one record each.

To add one, write its function in data/balancing.py and its record here; validation, planning,
identities and adaptation find it by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fairfm_core.config.named_records import known_name


@dataclass(frozen=True)
class Sampling:
    """Which images of the training split an adaptation sees."""

    work: str
    """`(frame, attribute, age_edges, seed) -> positions`: ascending positions in the training
    split's frame. Raises BadInput for a frame that it cannot sample."""
    by_group: bool
    """Whether it depends on the groups of the attribute that `data.balance` names: then that
    enters the identity, and `sampling.csv` lists the groups before and after."""


SAMPLINGS: dict[str, Sampling] = {
    "standard": Sampling("fairfm_core.data.balancing:whole_split", by_group=False),
    "balanced": Sampling("fairfm_core.data.balancing:balanced_subset", by_group=True),
}


def known_sampling(name: Any) -> str:
    """The name unchanged; raises BadInput for an unknown one, with the nearest known one."""
    return known_name(name, SAMPLINGS, "sampling")
