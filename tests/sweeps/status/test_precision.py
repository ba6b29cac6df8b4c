"""`precision: auto`: chosen when a study begins, kept with its results, part of its identities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from sweeps.planning.plan import make_plan
from sweeps.planning.study import StudySpec
from sweeps.status import precision
from sweeps.status.precision import AUTO, FASTER, as_begun, chosen, gain_questions, note_choice


@pytest.fixture
def study(study_values: dict[str, Any]) -> StudySpec:
    return StudySpec.model_validate(study_values)


def fingerprints(study: StudySpec) -> set[str]:
    return set(make_plan(study).stages)


def test_bfloat16_has_to_be_clearly_faster_for_every_network() -> None:
    assert chosen([2.1, 1.3]) == FASTER
    assert chosen([2.1, 1.2]) == AUTO
    assert chosen([]) == AUTO


def test_a_chosen_precision_is_another_identity_and_auto_is_the_old_one(study: StudySpec) -> None:
    faster = study.model_copy(update={"precision": FASTER})
    assert not fingerprints(study) & fingerprints(faster)
    (line,) = [n for n in make_plan(faster).terms.notes if "precision" in n]
    assert line == "precision bf16 for all networks"
    assert "precision" not in study.model_dump(mode="json")


def test_a_trial_that_names_its_precision_keeps_it(study_values: dict[str, Any]) -> None:
    matrix = {**study_values["matrix"], "adaptation.precision": ["fp32", "bf16"]}
    named = StudySpec.model_validate({**study_values, "matrix": matrix})
    assert fingerprints(named) == fingerprints(named.model_copy(update={"precision": FASTER}))


def test_a_study_goes_on_as_it_has_begun_on_any_machine(study: StudySpec, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    note_choice(study, store)
    assert as_begun(study, store) == study
    note_choice(study.model_copy(update={"precision": FASTER}), store)
    assert as_begun(study, store).precision == FASTER
    own = study.model_copy(update={"precision": "fp32"})
    assert as_begun(own, store).precision == "fp32"
    store.write_json({"precision": "fp8"}, "studies", study.study, "precision.json")
    with pytest.raises(BadInput, match="not known; write `precision` into the study"):
        as_begun(study, store)


def test_only_large_images_on_processors_with_units_are_measured(
    study: StudySpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "PROCESSOR", cpu)
    small = [each.trial for each in make_plan(study).trials]
    large = [
        each.model_copy(update={"backbone": each.backbone.model_copy(update={"image_size": 96})})
        for each in small
    ]
    cpu.write_text("flags : fma avx512f\n")
    assert not gain_questions(large)
    cpu.write_text("flags : fma avx512f amx_bf16\n")
    assert not gain_questions(small)
    assert len(gain_questions(large)) == 2  # the probe's pass and the fine-tuning's step
