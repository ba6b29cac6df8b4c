"""A run may take up a part of a study: some trials, some labels, those that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from fairfm_core.snapshot import take_snapshot
from sweeps.planning.caps import Caps
from sweeps.planning.plan import make_plan
from sweeps.planning.study import StudySpec
from sweeps.status.selection import TrialSelection, dry_run_text, part_of
from sweeps.status.status import StudyStatus


@pytest.fixture
def status(study_values: dict[str, Any], tmp_path: Path) -> StudyStatus:
    store = open_store(str(tmp_path))
    plan = make_plan(StudySpec.model_validate(study_values))
    store.record_failure(plan.trials[3].adapt.fingerprint, "it diverged")
    return StudyStatus(plan, take_snapshot(store))


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (TrialSelection(limit=2), ["probe.standard.s0", "probe.standard.s1"]),
        (TrialSelection(only=("tune", "s1")), ["tune.standard.s1", "tune.balanced.s1"]),
        (TrialSelection(only=("tune.balanced",)), ["tune.balanced.s0", "tune.balanced.s1"]),
        (TrialSelection(only=("probe.standard.s1",)), ["probe.standard.s1"]),
        (TrialSelection(failed=True), ["probe.balanced.s1"]),
        (TrialSelection(failed=True, only=("tune",)), []),
    ],
)
def test_what_is_chosen(status: StudyStatus, selection: TrialSelection, names: list[str]) -> None:
    assert sorted(selection.chosen(status)) == sorted(names)


def test_an_unknown_label_is_refused_with_the_nearest(status: StudyStatus) -> None:
    with pytest.raises(BadInput, match=r"'tun' is no label of a trial .did you mean 'tune'"):
        TrialSelection(only=("tun",)).chosen(status)


def test_a_part_needs_only_its_own_stages(status: StudyStatus) -> None:
    names = TrialSelection(only=("tune",), limit=1).chosen(status)
    part = StudyStatus(part_of(status.plan, names, status), status.snapshot)
    assert [stage.kind for stage in part.missing.values()] == ["adapt", "evaluate"]
    assert len(status.plan.trials) == 8


def test_a_dry_run_lists_and_starts_nothing(study_values: dict[str, Any], tmp_path: Path) -> None:
    study = StudySpec.model_validate(study_values)
    text = dry_run_text(study, str(tmp_path / "results"), TrialSelection(limit=1))
    assert text.splitlines() == ["would run 1 of 8 trials (0 done)", "  probe.standard.s0"]
    capped = study.model_copy(update={"caps": Caps(max_trials=1)})
    text = dry_run_text(capped, str(tmp_path / "results"), TrialSelection())
    head = "would run 1 of 8 trials (0 done, caps.max_trials 1)"
    assert text.splitlines() == [head, "  probe.standard.s0"]
    assert not (tmp_path / "results").exists()
