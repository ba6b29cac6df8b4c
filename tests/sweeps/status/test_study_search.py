"""A study's search against what is stored: other searches are taken over, a changed base is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.results.study_record import write_study_record
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput
from sweeps.planning.plan import StudyPlan, make_plan, study_record
from sweeps.planning.study import StudySpec
from sweeps.search.history import Told
from sweeps.search.rounds import StudySearch
from sweeps.status import study_search
from sweeps.status.status import study_status
from sweeps.status.study_search import advanced, open_search, searched_plan


@pytest.fixture(autouse=True)
def values_without_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that follow from the fingerprints alone, in place of stored evaluations."""

    def told(
        evaluations: Sequence[str], seeds: Sequence[int], metrics: Sequence[str], read: object
    ) -> Told:
        values = {metric: int(evaluations[0][:4], 16) / 2**16 for metric in metrics}
        return Told(tuple(seeds), values, {}, tuple(evaluations))

    monkeypatch.setattr(study_search, "told_values", told)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store(str(tmp_path))


def opened(
    study_values: dict[str, Any], store: ArtifactStore, name: str = "first", **search: Any
) -> tuple[StudySpec, StudySearch]:
    probe = {"method": "linear_probe", "recipe": "smoke", "epochs": 2}
    values = {
        **study_values,
        "study": name,
        "base": {**study_values["base"], "adaptation": probe},
        "matrix": {"data.sampling": ["standard", "balanced"]},
        "seeds": [0],
        "search": {
            "configurations": 4,
            "batch": 2,
            "parameters": {"adaptation.lr": {"low": 0.01, "high": 1}},
            **search,
        },
    }
    study = StudySpec.model_validate(values)
    found = open_search(study, store)
    assert found is not None
    return study, found


def run(study: StudySpec, search: StudySearch, store: ArtifactStore) -> StudyPlan:
    """Every round, with each stage done as soon as it is planned."""
    plan = searched_plan(study, search)
    while True:
        plan = advanced(study, search, plan, store, set(plan.stages), {})
        search.journal.write()
        if not search.journal.history.open():
            write_study_record(store, study.study, study_record(plan, "a test"))
            return plan


def test_a_warm_start_takes_over_what_is_this_studys_work_too(
    study_values: dict[str, Any], store: ArtifactStore
) -> None:
    first, other = opened(study_values, store)
    done = set(run(first, other, store).stages)
    wider = {"adaptation.lr": {"low": 0.001, "high": 1}}
    study, search = opened(
        study_values, store, "second", parameters=wider, warm_start=True, sampler="random"
    )
    plan = advanced(study, search, make_plan(study), store, done, {})
    known = [each for each in search.asked if each.known]
    assert {(e.search, *e.choices.values()) for e in known} == {
        (e.search, *e.choices.values()) for e in other.asked
    }
    assert all(each.key in search.journal.history.told for each in known)
    assert {trial.name for trial in plan.trials if not trial.is_done(done)} == {
        f"{cell}.c{n:03}.s0" for cell in ("standard", "balanced") for n in (5, 6)
    }
    run(study, search, store)
    assert sum(not each.known for each in search.asked) == 2 * 4


def test_a_warm_start_takes_nothing_that_is_other_work(
    study_values: dict[str, Any], store: ArtifactStore
) -> None:
    first, other = opened(study_values, store)
    done = set(run(first, other, store).stages)
    narrow = {"adaptation.lr": {"low": 2.0, "high": 3.0}}
    for name, changes in (("narrow", {"parameters": narrow}), ("cold", {"warm_start": False})):
        study, search = opened(study_values, store, name, **{"warm_start": True, **changes})
        advanced(study, search, make_plan(study), store, done, {})
        assert not [each for each in search.asked if each.known]


def test_values_of_another_base_are_refused(
    study_values: dict[str, Any], store: ArtifactStore
) -> None:
    study, search = opened(study_values, store)
    run(study, search, store)
    base = {**study_values["base"], "backbone": {"name": "test_convnext", "image_size": 48}}
    changed, again = opened({**study_values, "base": base}, store)
    with pytest.raises(BadInput, match="made with another base, other data"):
        searched_plan(changed, again)


def test_a_failed_configuration_is_noted_with_its_reason(
    study_values: dict[str, Any], store: ArtifactStore
) -> None:
    study, search = opened(study_values, store)
    plan = advanced(study, search, make_plan(study), store, set(), {})
    failing = plan.trials[0].evaluate.fingerprint
    done = set(plan.stages) - {failing}
    plan = advanced(study, search, plan, store, done, {failing: "it diverged"})
    assert search.journal.history.failed == {("standard", 1): "it diverged"}
    assert search.journal.history.rounds == 2


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (-5, "search: the last line of the journal was cut short; what it said is found again"),
        (0, "search: the journal is empty; the search begins again"),
    ],
)
def test_the_status_says_what_the_journal_lacks(
    study_values: dict[str, Any], store: ArtifactStore, kept: int, said: str
) -> None:
    study, search = opened(study_values, store)
    assert "search:" not in study_status(study, store).status_text()
    run(study, search, store)
    assert "search:" not in study_status(study, store).status_text()
    place = ("studies", study.study, "search.jsonl")
    store.write_bytes(store.read_bytes(*place)[:kept], *place)
    assert said in study_status(study, store).status_text().splitlines()[1]
