"""The journal is the state of a search: cut short anywhere, it leads to the same configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadFile, BadInput
from sweeps.planning.study import StudySpec, study_searches
from sweeps.search.history import Told
from sweeps.search.journal import open_journal
from sweeps.search.rounds import StudySearch, search_identity

from .conftest import MakeStudy

PLACE = "studies/searched/search.jsonl"


def opened(study: StudySpec, store: ArtifactStore) -> StudySearch:
    assert study.search is not None
    searches, seeds = study_searches(study), study.levels.adaptation
    identity = search_identity(study.search, searches, study.objectives, seeds)
    journal = open_journal(store, study.study, identity)
    return StudySearch(study.search, searches, study.objectives, seeds, journal)


def told(number: int, seeds: tuple[int, ...] = (0,)) -> Told:
    values = {"val/auc": 0.7 + number / 100, "val/gap_sex": 0.05 + number % 3 / 100}
    return Told(seeds, values, dict.fromkeys(values, 1e-4), tuple(f"{number:020x}" for _ in seeds))


def run(search: StudySearch, rounds: int) -> None:
    """Tell and ask, each written at once, as a run does."""
    for _ in range(rounds):
        for each in search.journal.history.open():
            search.tell(each.key, told(each.number, each.seeds))
        search.next_round()
        search.journal.write()


def test_a_search_ends_when_all_configurations_were_asked_for(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    search = opened(make_study({"configurations": 10, "batch": 4}), open_store(str(tmp_path)))
    run(search, 4)
    assert [len(search.journal.history.asked), search.journal.history.rounds] == [10, 3]
    assert search.ended == {"base": "all configurations were asked for"}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "qmc"])
def test_cut_at_any_byte_it_goes_on_the_same(
    make_study: MakeStudy, tmp_path: Path, sampler: str
) -> None:
    study = make_study({"configurations": 24, "batch": 4, "sampler": sampler})
    whole = open_store(str(tmp_path / "whole"))
    run(opened(study, whole), 8)
    content = whole.read_bytes(*PLACE.split("/"))
    for number, cut in enumerate(range(3, len(content), len(content) // 7)):
        store = open_store(str(tmp_path / str(number)))
        store.write_bytes(content[:cut], *PLACE.split("/"))
        search = opened(study, store)
        assert ("cut short" in search.journal.lost) == (not content[:cut].endswith(b"\n"))
        run(search, 8)
        assert store.read_bytes(*PLACE.split("/")) == content


def test_more_configurations_go_on_where_the_search_ended(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path))
    run(opened(make_study({"configurations": 8}), store), 3)
    more = opened(make_study({"configurations": 16}), store)
    assert len(more.asked) == 8
    assert [each.number for each in more.next_round()] == list(range(9, 17))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampler": "random"}, 'sampler was "tpe" and is "random"'),
        ({"seed": 3}, "seed was 0 and is 3"),
        ({"parameters": {"adaptation.base_lr": [1e-3, 1e-2]}}, "parameters was"),
        ({"constraints": [{"metric": "val/auc", "at_least": 0.7}]}, "constraints was []"),
    ],
)
def test_a_journal_of_another_search_is_refused(
    make_study: MakeStudy, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    store = open_store(str(tmp_path))
    run(opened(make_study(), store), 1)
    with pytest.raises(BadInput, match="journal of another search") as raised:
        opened(make_study(changes), store)
    assert said in str(raised.value)
    assert "nothing that is trained is run again" in str(raised.value)


def test_a_journal_of_another_study_or_version_is_refused(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path))
    run(opened(make_study(), store), 1)
    head, *rest = store.read_bytes(*PLACE.split("/")).splitlines()
    for key, value, said in (
        ("study", "other", "is the journal of study 'other', not 'searched'"),
        ("fairfm search", 2, "has version 2, and this is version 1"),
    ):
        changed = json.dumps({**json.loads(head), key: value}).encode()
        store.write_bytes(b"\n".join([changed, *rest, b""]), *PLACE.split("/"))
        with pytest.raises(BadInput, match=said):
            opened(make_study(), store)


def test_a_damaged_line_is_named(make_study: MakeStudy, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    run(opened(make_study(), store), 2)
    lines = store.read_bytes(*PLACE.split("/")).splitlines()
    lines[2] = b"{,}"
    store.write_bytes(b"\n".join([*lines, b""]), *PLACE.split("/"))
    with pytest.raises(BadFile, match="line 3 is not JSON"):
        opened(make_study(), store)


def test_an_undefined_objective_is_a_failure(make_study: MakeStudy, tmp_path: Path) -> None:
    search = opened(make_study(), open_store(str(tmp_path)))
    first, *_ = search.next_round()
    values = {"val/auc": 0.7, "val/gap_sex": None}
    search.tell(first.key, Told((0,), values, {}, ("0" * 20,)))
    assert search.journal.history.failed[first.key] == "val/gap_sex is undefined"
    (tried, *_) = search.journal.history.tried(search.searches[0], search.objectives, ())
    assert (tried.failed, tried.values) == (True, None)
