"""The flow of patients, read back from notes, against a count of sets after every step."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfm_core.data.population.flow import FlowStep, preparation_flow
from fairfm_core.data.population.steps import (
    ROWS,
    dropped_notes,
    frequent,
    kept,
    without_contradictions,
)

MASKS = st.lists(st.lists(st.booleans(), min_size=12, max_size=12), max_size=4)


def people(patients: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": [f"p{n}" for n in patients], "sex": "F"})


@settings(max_examples=30)
@given(st.lists(st.integers(0, 4), min_size=12, max_size=12), MASKS)
def test_the_flow_is_what_was_left_after_each_step(patients, masks) -> None:
    frame = people(patients)
    notes = {ROWS: len(frame), "sex neither F nor M, set to null": 3}
    expected = [FlowStep("", 0, 0, len(frame), frame["patient_id"].nunique())]
    for number, mask in enumerate(masks):
        before, inside = frame, pd.Series(mask)[frame.index]
        if not inside.any():
            continue
        frame = kept(before, inside, f"of kind {number}", notes)
        if len(frame) < len(before):
            left = len({*before["patient_id"]}) - len({*frame["patient_id"]})
            gone = len(before) - len(frame)
            now = len(frame), len({*frame["patient_id"]})
            expected.append(FlowStep(f"of kind {number}", gone, left, *now))
    counts = {"images": len(frame), "patients": frame["patient_id"].nunique()}
    assert preparation_flow(notes, counts) == tuple(expected)


def test_patients_who_are_dropped_whole_and_the_parts_of_a_step_count_once() -> None:
    frame = people([0, 0, 1, 2, 3]).assign(sex=["F", "M", "F", "F", "F"])
    notes = {ROWS: 5}
    frame = without_contradictions(frame, "sex", notes)
    notes |= frequent(pd.Series(["Other"]), lambda entry: f"images of race {entry!r}, dropped")
    frame = kept(frame, frame["patient_id"] != "p3", "of another or unknown race", notes)
    assert notes["patients with more than one sex, dropped"] == 1
    assert [
        (step.reason, step.images, step.patients)
        for step in preparation_flow(notes, {"images": 2, "patients": 2})
    ] == [
        ("", 5, 4),
        ("of patients with more than one sex", 3, 3),
        ("of another or unknown race", 2, 2),
    ]


def test_a_data_set_of_an_earlier_version_knows_images_alone_and_what_is_missing_is_said() -> None:
    notes = {ROWS: 10, "images not frontal, dropped": 3, "images missing, dropped": 0}
    first, unknown, frontal = preparation_flow(notes, {"images": 5, "patients": 4})
    assert (first.images, first.patients) == (10, None)
    assert (unknown.reason, unknown.images_dropped) == ("for reasons that were not recorded", 2)
    assert frontal == FlowStep("not frontal", 3, None, 5, 4)


def test_nothing_dropped_makes_no_note_of_patients() -> None:
    frame = people([0, 1])
    notes = dropped_notes("missing", frame["patient_id"], pd.Series([True, True]))
    assert notes == {"images missing, dropped": 0}
