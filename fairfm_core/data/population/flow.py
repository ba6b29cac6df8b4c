"""The flow of images and patients through a preparation, read from the notes of its manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fairfm_core.data.population.steps import ROWS, images_dropped, patients_dropped

DROPPED = re.compile(r"^images (?P<reason>.*), dropped$")
PART = re.compile(r"^of race ['\"]")
"""The reason of a note that says what another step's images were: not a step of its own."""


@dataclass(frozen=True)
class FlowStep:
    """A step, and what was left after it; None where that is not known."""

    reason: str
    """Why images were dropped; empty for the first and the last step."""
    images_dropped: int
    patients_dropped: int | None
    images: int
    patients: int | None


def preparation_flow(notes: Mapping[str, int], counts: Mapping[str, int]) -> tuple[FlowStep, ...]:
    """The rows of the source, each step that dropped any, and what was prepared.

    Counted back from what was prepared, so that what the notes do not explain is seen: it is the
    difference between the first step and the `rows in the table`. Data sets of earlier versions
    know no patients before their last drop.
    """
    steps = list(_drops(notes))
    images, patients = counts["images"], counts.get("patients")
    flow = []
    for reason, dropped, lost in reversed(steps):
        flow.append(FlowStep(reason, dropped, lost, images, patients))
        images += dropped
        patients = None if patients is None or lost is None else patients + lost
    unexplained = notes.get(ROWS, images) - images
    if unexplained > 0:
        flow.append(FlowStep("for reasons that were not recorded", unexplained, None, images, None))
        images, patients = images + unexplained, None
    return (FlowStep("", 0, 0, images, patients), *reversed(flow))


def _drops(notes: Mapping[str, int]) -> Iterator[tuple[str, int, int | None]]:
    """Reason, images and patients of each step that dropped images, in the order of the steps."""
    for note, count in notes.items():
        found = DROPPED.match(note)
        if found is None or not count or PART.match(found["reason"]):
            continue
        assert note == images_dropped(found["reason"])
        yield found["reason"], count, notes.get(patients_dropped(found["reason"]))
