"""Label policies: what each makes of an uncertain label, and that a trial's identity knows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.label_policies import policies_of
from fairfm_core.config.trial import Trial
from fairfm_core.data.cohort import attributes, check_cohort, pathologies, settled
from fairfm_core.data.summary import cohort_summary
from fairfm_core.errors import BadInput
from fairfm_core.stages import Stage, stages_of

PATHOLOGIES = ("Atelectasis", "Edema", "Fracture")


def cohort() -> pd.DataFrame:
    """Edema: absent, present, uncertain, unknown; Fracture has no uncertain mention."""
    return pd.DataFrame(
        {
            "image_id": list("abcd"),
            "patient_id": list("abcd"),
            "sex": "F",
            "race": None,
            "age": None,
            "y_Edema": [0.0, 1.0, np.nan, np.nan],
            "u_Edema": [0.0, 0.0, 1.0, 0.0],
            "y_Fracture": [0.0, 1.0, 1.0, np.nan],
            "split": None,
            "row": range(4),
        }
    )


def adapt(labels: Any = None, predicted: Any = None, **more: Any) -> Stage:
    data = {"dataset": "here", "pathologies": predicted}
    trial = {
        "backbone": {"name": "test_vit", "image_size": 64},
        "adaptation": {"method": "linear_probe", "recipe": "smoke"},
        "data": data | ({} if labels is None else {"labels": labels}) | more,
    }
    found = stages_of(Trial.model_validate(trial), "d", PATHOLOGIES, EvaluationSettings())
    return found[-2]


@pytest.mark.parametrize(
    ("policies", "uncertain"),
    [({}, 0.0), ({"Edema": "u_ones"}, 1.0), ({"Edema": "u_ignore"}, -1.0), ({"X": "u_ones"}, 0.0)],
)
def test_uncertain_labels_are_settled_and_unknown_ones_stay(policies, uncertain: float) -> None:
    frame = settled(cohort(), policies)
    assert frame["y_Edema"].fillna(-1).tolist() == [0, 1, uncertain, -1]
    assert frame["y_Fracture"].fillna(-1).tolist() == [0, 1, 1, -1]


def test_marks_are_no_labels_and_no_attributes_and_are_checked() -> None:
    frame = cohort()
    check_cohort(frame)
    assert pathologies(frame) == ("Edema", "Fracture")
    assert attributes(frame) == ("sex",)
    with pytest.raises(BadInput, match=r"1 image.* uncertain in u_Edema but y_Edema is not null"):
        check_cohort(frame.assign(u_Edema=[1.0, 0.0, 1.0, 0.0]))
    with pytest.raises(BadInput, match="there is no column y_Mass"):
        check_cohort(frame.assign(u_Mass=0.0))
    with pytest.raises(BadInput, match="u_Edema must be 1 where y_Edema is uncertain"):
        check_cohort(frame.assign(u_Edema=[0.0, 0.0, 0.5, 0.0]))


def test_the_summary_counts_uncertain_labels_as_absent_and_says_how_many() -> None:
    everybody = cohort_summary(cohort()).iloc[0]
    assert everybody["labelled_Edema"] == 3
    assert everybody["positive_Edema"] == 1
    assert everybody["uncertain_Edema"] == 1
    assert "uncertain_Fracture" not in everybody


def test_equal_policies_are_one_identity() -> None:
    default = adapt().fingerprint
    assert adapt("u_zeros").fingerprint == default
    assert adapt({"Edema": "u_zeros"}).fingerprint == default
    everywhere = adapt(dict.fromkeys(PATHOLOGIES, "u_ones")).fingerprint
    assert adapt("u_ones").fingerprint == everywhere
    spelt_out = {"Edema": "u_ones", "Atelectasis": "u_ones"}
    assert adapt("mixed5").fingerprint == adapt(spelt_out).fingerprint
    assert (
        adapt({"Edema": "u_ones"}, ["Fracture"]).fingerprint
        == adapt(None, ["Fracture"]).fingerprint
    )


def test_other_policies_are_other_identities() -> None:
    given = [None, "u_ones", "u_ignore", "mixed5", {"Edema": "u_ones"}, {"Fracture": "u_ones"}]
    assert len({adapt(labels).fingerprint for labels in given}) == len(given)
    assert adapt("u_ones").config["labels"] == dict.fromkeys(PATHOLOGIES, "u_ones")
    assert "labels" not in adapt().config
    assert len({adapt(labels).inputs["features"] for labels in given}) == 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("u_one", "not a label policy .did you mean 'u_ones'.*mixed5"),
        (["u_ones"], "not a label policy"),
        ({"Edema": "u_zero"}, "not a label policy for Edema .did you mean 'u_zeros'"),
    ],
)
def test_unknown_policies_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        adapt(labels)


def test_a_mapping_must_name_labels_of_the_data() -> None:
    with pytest.raises(BadInput, match=r"'Oedema'.*did you mean 'Edema'"):
        adapt({"Oedema": "u_ones"})
    assert policies_of("mixed5", ["Edema"], ["Edema"]) == {"Edema": "u_ones"}  # a part suffices
