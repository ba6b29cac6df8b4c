"""A results folder with the search of a world whose truth is known; nothing is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.results.study_record import write_study_record
from fairfm_core.artifacts import open_store
from fairfm_core.storage.layout import claim_results
from sweeps.planning.study import StudySpec, study_searches
from sweeps.search.history import Told
from sweeps.search.journal import open_journal
from sweeps.search.rounds import StudySearch, search_identity

STUDY = StudySpec.model_validate(
    {
        "study": "world",
        "base": {
            "data": {"dataset": "somewhere", "balance": "sex"},
            "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
            "adaptation": {"method": "end_to_end", "recipe": "smoke"},
        },
        "objectives": [
            {"metric": "val/auc", "goal": "maximize"},
            {"metric": "val/gap_sex", "goal": "minimize"},
        ],
        "evaluation": {"attributes": ["sex"]},
        "search": {
            "configurations": 32,
            "sampler": "qmc",
            "constraints": [{"metric": "val/auc", "at_least": 0.6}],
            "parameters": {
                "adaptation.base_lr": {"low": 1e-4, "high": 1e-2, "log": True},
                "adaptation.drop_path": {"low": 0, "high": 0.3},
                "data.sampling": ["standard", "balanced"],
            },
        },
    }
)


def truth(choices: dict[str, float | int | str]) -> tuple[float, float]:
    """The learning rate alone decides on the AUC, drop path alone on the gap."""
    lr, drop = float(choices["adaptation.base_lr"]), float(choices["adaptation.drop_path"])
    return 0.8 - 0.4 * np.log10(lr / 1e-3) ** 2, 0.08 - 0.2 * drop


@pytest.fixture(scope="session")
def searched_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one study and its search; the last configuration has failed."""
    folder = tmp_path_factory.mktemp("found") / "results"
    store = open_store(str(folder))
    claim_results(store)
    assert STUDY.search is not None
    searches = study_searches(STUDY)
    identity = search_identity(STUDY.search, searches, STUDY.objectives, [0])
    journal = open_journal(store, "world", identity)
    search = StudySearch(STUDY.search, searches, STUDY.objectives, [0], journal)
    while new := search.next_round():
        for each in new:
            if each.number == 32:
                search.fail(each.key, "diverged")
                continue
            values = dict(zip(search.metrics, truth(dict(each.choices)), strict=True))
            told = Told((0,), values, dict.fromkeys(values, 1e-6), (f"{each.number:020x}",))
            search.tell(each.key, told)
    journal.write()
    write_study_record(
        store,
        "world",
        {"study": "world", "spec": STUDY.model_dump(mode="json"), "axes": [], "trials": []},
    )
    return folder
