"""How the paper's models are drawn: the colour is the domain; markers repeat it for grey print."""

from __future__ import annotations

from dataclasses import dataclass

SCRATCH, NATURAL, MEDICAL = "scratch", "natural", "medical"
DOMAIN_COLOURS = {SCRATCH: "#999999", NATURAL: "#0072B2", MEDICAL: "#E69F00"}
"""Okabe and Ito's; in grey they are middle, dark and light."""
DOMAIN_MARKERS = {SCRATCH: "s", NATURAL: "o", MEDICAL: "D"}
"""A second sign of the domain beside its colour."""
NULL_GREY, LINE_GREY = "0.86", "0.45"


@dataclass(frozen=True)
class ModelStyle:
    """How one of the six foundation models is drawn."""

    colour: str
    marker: str


SIX_STYLES = {
    "MAE": ModelStyle(DOMAIN_COLOURS[NATURAL], "o"),
    "MAE (M)": ModelStyle(DOMAIN_COLOURS[MEDICAL], "o"),
    "MoCov3": ModelStyle(DOMAIN_COLOURS[NATURAL], "^"),
    "MoCov3 (M)": ModelStyle(DOMAIN_COLOURS[MEDICAL], "^"),
    "BiT": ModelStyle(DOMAIN_COLOURS[NATURAL], "s"),
    "REMEDIS": ModelStyle(DOMAIN_COLOURS[MEDICAL], "s"),
}
"""Colour is the domain, the marker tells the pairs of method and architecture apart."""


@dataclass(frozen=True)
class GroupStyle:
    """How one group of an attribute is drawn: told apart by its line in grey print too."""

    colour: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str


GROUP_STYLES = (
    GroupStyle("#0072B2", "-", "o"),
    GroupStyle("#E69F00", "--", "s"),
    GroupStyle("#000000", "-.", "^"),
    GroupStyle("#CC79A7", ":", "D"),
    GroupStyle("#009E73", (0, (5, 1)), "v"),
    GroupStyle("#56B4E9", (0, (1, 1)), "P"),
)
"""Okabe and Ito's colours by the place of the group, the first three dark, light and black in grey
print; a seventh group is drawn as the first."""


def group_style(place: int) -> GroupStyle:
    """The style of the group at this place among those of its attribute."""
    return GROUP_STYLES[place % len(GROUP_STYLES)]
