"""Who goes on from a rung: decided by all values there, by several objectives, by the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.constraints import Constraint
from fairfm_core.evaluation.selection.objectives import Objective
from sweeps.planning.study import StudySpec, study_searches
from sweeps.rungs.study_rungs import study_halving
from sweeps.search.halving import (
    Key,
    RungTold,
    SearchHalving,
    Standing,
    expected_cost,
    promotions,
    ranked,
)
from sweeps.search.history import Told
from sweeps.search.journal import open_journal
from sweeps.search.racing import SETTLED, Racer
from sweeps.search.rounds import StudySearch, search_identity
from sweeps.search.values import Numbers

from .conftest import PROBE, TUNE, MakeStudy

AUC = Objective(metric="val/auc", goal="maximize")
GAP = Objective(metric="val/gap_sex", goal="minimize")
SLOPE = Objective(metric="val/calibration_slope", goal="ideal")
LIMIT = Constraint(metric="val/auc", at_least=0.6)


def order(
    rows: list[list[float]], *objectives: Objective, beyond: list[float] | None = None
) -> list[int]:
    beyond_N = np.array(beyond or [0.0] * len(rows))
    found: list[int] = ranked(np.array(rows), beyond_N, objectives or (AUC, GAP)).tolist()
    return found


def test_fronts_come_one_after_the_other() -> None:
    rows = [[0.70, 0.05], [0.80, 0.05], [0.75, 0.02], [0.69, 0.06], [0.79, 0.051]]
    assert set(order(rows)[:2]) == {1, 2}
    assert set(order(rows)[2:4]) == {0, 4}
    assert order(rows)[-1] == 3


def test_a_direction_belongs_to_each_metric() -> None:
    assert order([[0.1], [0.9]], AUC) == [1, 0]
    assert order([[0.1], [0.9]], GAP) == [0, 1]
    assert order([[0.5], [1.6], [1.1]], SLOPE) == [2, 0, 1]


def test_what_is_equally_bad_for_everybody_comes_last_of_its_front() -> None:
    """An untrained model has no gap, so it is on the front; it adds nothing to the hypervolume."""
    assert order([[0.5, 0.0], [0.7, 0.03], [0.8, 0.08]]) == [1, 2, 0]


def test_a_member_in_between_waits_for_what_adds_more() -> None:
    """Alone the middle one covers most; after it the two ends, the larger first."""
    assert order([[0.90, 0.09], [0.8, 0.04], [0.801, 0.0401], [0.6, 0.0]])[0] in (1, 2)
    assert order([[0.90, 0.05], [0.901, 0.0501], [0.6, 0.0]])[1] == 2


def test_what_breaks_a_constraint_comes_last_the_nearest_first() -> None:
    rows = [[0.55, 0.0], [0.61, 0.09], [0.58, 0.0]]
    assert order(rows, beyond=[0.05, 0.0, 0.02]) == [1, 2, 0]


def test_earlier_ones_win_ties() -> None:
    assert order([[0.7, 0.02]] * 3) == [0, 1, 2]


def standing(
    number: int, until: int | None, *aucs: float | None, rungs: tuple[int, ...] = (2, 6)
) -> Standing:
    """A configuration with these AUCs at the rungs that it has come to."""
    at = {r: RungTold({"val/auc": auc}, ()) for r, auc in zip(rungs, aucs, strict=False)}
    return Standing(("base", number), rungs, until, at)


def going(standings: list[Standing], is_last: bool = False, eta: int = 3) -> dict[int, int | None]:
    found = promotions(standings, eta, (AUC,), (), is_last)
    return {key[1]: rung for key, rung in found.items()}


def test_one_in_eta_goes_on_by_all_values_at_the_rung() -> None:
    values = [0.6, 0.7, 0.8, 0.65, 0.75, 0.5]
    waiting = [standing(n, 2, value) for n, value in enumerate(values, start=1)]
    assert going(waiting) == {3: 6, 5: 6}
    # Those that went on earlier still count: a seventh is only the third best of seven.
    on = [
        standing(n, 6, v, v) if n in (3, 5) else standing(n, 2, v)
        for n, v in enumerate(values, start=1)
    ]
    assert 7 not in going([*on, standing(7, 2, 0.72)])
    assert going([*on, standing(7, 2, 0.9)]) == {7: 6}


def test_fewer_than_eta_wait_until_no_more_will_come() -> None:
    two = [standing(1, 6, 0.7, 0.7), standing(2, 6, 0.8, 0.8)]
    assert going(two) == {}
    assert going(two, is_last=True) == {2: None}
    # While some still come to the rung from below, it waits.
    below = [standing(n, 2, 0.9 + n / 100) for n in (3, 4, 5, 6)]
    assert 2 not in going([*two, *below], is_last=True)


def test_the_last_rung_leads_to_the_whole_training() -> None:
    assert going([standing(n, 6, n / 10, n / 10) for n in (1, 2, 3)]) == {3: None}


def test_what_was_not_noted_goes_on() -> None:
    unknown = Standing(("base", 9), (2, 6), 2, {2: RungTold(None, ())})
    assert going([unknown, standing(1, 2, 0.7)]) == {9: 6}


def test_constraints_come_first() -> None:
    waiting = [standing(1, 2, 0.59), standing(2, 2, 0.58), standing(3, 2, 0.61)]
    found = promotions(waiting, 3, (GAP_OF_AUC,), (LIMIT,), False)
    assert list(found) == [("base", 3)]


GAP_OF_AUC = Objective(metric="val/auc", goal="maximize")


def test_expected_cost() -> None:
    """Epochs go on, other sizes are paid again at each rung."""
    epochs = SearchHalving(rungs=(2, 6))
    assert expected_cost(epochs, [2, 6, 18]) == pytest.approx(2 + 4 / 3 + 12 / 9)
    two = SearchHalving(rungs=(2,), brackets=2)
    assert expected_cost(two, [2, 10]) == pytest.approx(0.75 * (2 + 8 / 3) + 0.25 * 10)
    share = SearchHalving(fidelity="fraction", rungs=(0.1, 0.3))
    assert expected_cost(share, [0.1, 0.3, 1.0]) == pytest.approx(0.1 + 0.3 / 3 + 1 / 9)


# A whole search

Curve = Callable[[int, int], tuple[float, float]]
"""AUC and gap of a configuration, by its number and epoch."""
HALVING: dict[str, Any] = {"eta": 3, "rungs": [2, 6]}
TUNED = {**TUNE, "epochs": 18}


def a_study(make_study: MakeStudy, **search: Any) -> StudySpec:
    search = {"configurations": 9, "batch": 4, "halving": HALVING, **search}
    base = {
        "data": {"dataset": "somewhere", "balance": "sex"},
        "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
        "adaptation": TUNED,
    }
    return make_study(search, base=base)


def opened(study: StudySpec, folder: Path) -> StudySearch:
    assert study.search is not None
    searches = study_searches(study)
    identity = search_identity(study.search, searches, study.objectives, [0])
    journal = open_journal(open_store(str(folder)), study.study, identity)
    halving = study_halving(study)
    if halving is None:
        journal.history.train_all()
    return StudySearch(study.search, searches, study.objectives, [0], journal, halving=halving)


def step(search: StudySearch, curve: Curve) -> bool:
    """Train what is open, tell the search and ask for the next round; False at the end."""
    history = search.journal.history
    for each in history.open():
        until = history.until.get(each.key, 18)
        for rung in (2, 6) if search.halving else ():
            if rung <= until and rung not in history.rungs.get(each.key, {}):
                search.tell_rung(each.key, rung, RungTold(named(curve(each.number, rung)), ("x",)))
        if each.key not in history.until:
            told = Told(each.seeds, named(curve(each.number, 18)), {}, (f"e{each.number}",))
            search.tell(each.key, told)
    search.journal.write()
    more = bool(search.next_round())
    search.journal.write()
    return more


def named(values: tuple[float, float]) -> dict[str, float | None]:
    return dict(zip(("val/auc", "val/gap_sex"), values, strict=True))


def straight(number: int, epoch: int) -> tuple[float, float]:
    """The better, the higher its number; AUCs grow with the epochs."""
    return 0.5 + number / 100 + epoch / 200, 0.09 - number / 200


def test_a_search_trains_few_to_the_end(make_study: MakeStudy, tmp_path: Path) -> None:
    search = opened(a_study(make_study), tmp_path)
    while step(search, straight):
        pass
    history = search.journal.history
    assert ("base", 9) in history.told
    assert len(history.told) <= 2
    assert list(history.until.values()).count(2) >= 5
    assert all(history.is_paused(key) for key in history.until)
    assert history.told.keys() | history.until.keys() == history.asked.keys()
    assert history.ended == {"base": "all configurations were asked for"}
    assert not history.open()


def test_promotions_and_new_configurations_share_a_round(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    search = opened(a_study(make_study), tmp_path)
    step(search, straight)
    step(search, straight)
    (second,) = [line["round"] for line in search.journal.lines if "round" in line][1:]
    assert len(second["asked"]) == 4
    assert second["promoted"] == [{"search": "base", "number": 4, "until": 6}]


def test_cut_at_any_line_it_decides_the_same(make_study: MakeStudy, tmp_path: Path) -> None:
    study = a_study(make_study)
    search = opened(study, tmp_path / "whole")
    while step(search, straight):
        pass
    path = tmp_path / "whole/studies/searched/search.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) > 20
    for count in range(1, len(lines)):
        cut = tmp_path / str(count) / "studies/searched/search.jsonl"
        cut.parent.mkdir(parents=True)
        cut.write_bytes(b"".join(lines[:count]) + lines[count][:5])
        again = opened(study, tmp_path / str(count))
        while step(again, straight):
            pass
        assert cut.read_bytes() == b"".join(lines)


def test_a_sampler_learns_from_one_length_of_training(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    search = opened(a_study(make_study, configurations=30, batch=6), tmp_path)
    step(search, straight)
    step(search, straight)  # 6 values after epoch 2, for 2 parameters
    history, (searched,) = search.journal.history, search.searches
    assert history.rung_to_learn_from(searched, 5) == 2
    tried = history.tried(searched, search.objectives, (), 2)
    assert [each.values for each in tried[:6]] == [straight(n, 2) for n in range(1, 7)]
    while step(search, straight):
        pass
    assert history.rung_to_learn_from(searched, 5) in (6, None)
    tried = history.tried(searched, search.objectives, (), 6)
    for each, one in zip(history.of("base"), tried, strict=True):
        has_come = 6 in history.rungs[each.key]
        assert one.values == (straight(each.number, 6) if has_come else None)
        assert one.failed is not has_come
    whole = history.tried(searched, search.objectives, ())
    assert [one.values is not None for one in whole] == [
        e.key in history.told for e in history.of("base")
    ]


def test_without_halving_all_go_on(make_study: MakeStudy, tmp_path: Path) -> None:
    search = opened(a_study(make_study), tmp_path)
    while step(search, straight):
        pass
    off = opened(a_study(make_study, halving=None), tmp_path)
    assert len(off.journal.history.open()) >= 7
    while step(off, straight):
        pass
    assert len(off.journal.history.told) == 9


def test_other_rungs_are_another_search(make_study: MakeStudy, tmp_path: Path) -> None:
    step(opened(a_study(make_study), tmp_path), straight)
    with pytest.raises(BadInput, match="is the journal of another search: halving was"):
        opened(a_study(make_study, halving={"rungs": [3]}), tmp_path)


def test_an_undefined_value_ends_a_configuration(make_study: MakeStudy, tmp_path: Path) -> None:
    search = opened(a_study(make_study), tmp_path)
    search.next_round()
    key: Key = ("base", 1)
    search.tell_rung(key, 2, RungTold({"val/auc": 0.9, "val/gap_sex": None}, ()))
    assert search.journal.history.failed == {key: "val/gap_sex is undefined after epoch 2"}
    for number in (2, 3, 4):
        search.tell_rung(("base", number), 2, RungTold(named(straight(number, 2)), ()))
    (searched,) = search.searches
    assert search._promotions(searched, is_last=True) == {("base", 4): 6}


def test_brackets_are_drawn_from_a_stream(make_study: MakeStudy, tmp_path: Path) -> None:
    study = a_study(make_study, configurations=60, halving={**HALVING, "brackets": 3})
    halving = study_halving(study)
    assert halving is not None
    starts = [halving.start("base", number, {}) for number in range(1, 301)]
    assert starts == [halving.start("base", number, {}) for number in range(1, 301)]
    assert [starts.count(start) for start in (2, 6, None)] == pytest.approx([208, 69, 23], abs=25)


def test_a_probe_is_never_paused(make_study: MakeStudy, tmp_path: Path) -> None:
    parameters = {"adaptation": {"probe": PROBE, "tune": TUNED}}
    study = make_study({"parameters": parameters, "halving": HALVING, "configurations": 2})
    halving = study_halving(study)
    assert halving is not None
    assert halving.rungs_of("base", {"adaptation": "probe"}) == ()
    assert halving.start("base", 1, {"adaptation": "probe"}) is None
    assert halving.start("base", 1, {"adaptation": "tune"}) == 2


# Bad input


@pytest.mark.parametrize(
    ("halving", "message"),
    [
        ({"eta": 1, "rungs": [2]}, "eta 1 must be at least 2: one in eta goes on"),
        ({"eta": 3}, r"give either rungs, such as \[2, 6\], or first"),
        ({"first": 2, "rungs": [2]}, r"give either rungs, such as \[2, 6\], or first"),
        ({"rungs": [6, 2]}, r"rungs \[6, 2\] must be epochs from 1 on, in rising order"),
        ({"rungs": [0, 2]}, r"rungs \[0, 2\] must be epochs from 1 on, in rising order"),
        ({"rungs": []}, r"rungs \[\] must be epochs from 1 on, in rising order"),
        ({"first": 0}, "first 0 must be epochs from 1 on"),
        ({"rungs": [1.5]}, r"rungs \[1.5\] must be epochs from 1 on"),
        (
            {"rungs": [1], "fidelity": "size"},
            r"fidelity 'size' is not known \(did you mean 'image_size'",
        ),
        ({"rungs": [8], "fidelity": "image_size"}, "must be pixels of the images' side from 16 on"),
        ({"rungs": [0.5, 1], "fidelity": "fraction"}, "patients above 0 and below 1, in rising"),
    ],
)
def test_impossible_halving_is_refused(
    make_study: MakeStudy, halving: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        a_study(make_study, halving=halving)


@pytest.mark.parametrize(
    ("halving", "message"),
    [
        ({"rungs": [2, 18]}, r"rungs: \[2, 18\] must lie below the 18 epochs of the training"),
        ({"first": 18}, "first: 18 must lie below the 18 epochs of the training"),
        ({"rungs": [2], "brackets": 3}, "3 brackets for 1 rungs"),
    ],
)
def test_rungs_that_do_not_fit_are_refused(
    make_study: MakeStudy, halving: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        study_halving(a_study(make_study, halving=halving))


def test_epochs_are_not_searched_and_halved_at_once(make_study: MakeStudy) -> None:
    parameters = {"adaptation.epochs": {"low": 5, "high": 20, "int": True}}
    with pytest.raises(ValueError, match=r"adaptation\.epochs is searched, and halving decides on"):
        a_study(make_study, parameters=parameters)
    nested = {"adaptation": {"tune": {"value": TUNE, "parameters": parameters}, "probe": PROBE}}
    with pytest.raises(ValueError, match=r"adaptation\.epochs is searched, and halving decides on"):
        a_study(make_study, parameters=nested)


def test_trainings_of_two_lengths_are_not_compared(make_study: MakeStudy) -> None:
    lengths = {"short": {**TUNE, "epochs": 10}, "long": {**TUNE, "epochs": 20}}
    study = a_study(make_study, parameters={"adaptation": lengths})
    with pytest.raises(BadInput, match="search base has some of 10, 20 epochs: give all the same"):
        study_halving(study)


def test_a_study_of_probes_has_nothing_to_halve(make_study: MakeStudy) -> None:
    parameters = {"adaptation.lr": {"low": 0.01, "high": 1}}
    base = {**a_study(make_study).base, "adaptation": PROBE}
    study = make_study({"parameters": parameters, "halving": HALVING}, base=base)
    with pytest.raises(BadInput, match="every configuration of this study is a probe"):
        study_halving(study)


def test_first_makes_the_rungs() -> None:
    assert SearchHalving(first=2).rungs_below(50) == (2, 6, 18)
    assert SearchHalving(first=1, eta=2).rungs_below(8) == (1, 2, 4)


def test_further_seeds_go_to_finished_ones_alone(make_study: MakeStudy, tmp_path: Path) -> None:
    replicates = {"start": 1, "confirm": 3, "budget": 0.5}
    search = opened(a_study(make_study, configurations=12, replicates=replicates), tmp_path)
    history = search.journal.history

    def read(runs: Sequence[str]) -> Numbers:
        return {}

    search.race = Racer(search.spec, search.objectives, history, [0], read)
    while step(search, straight):
        pass
    further = [each for each in search.asked if len(each.seeds) > 1]
    assert further
    assert all(each.key in history.told and each.key not in history.until for each in further)
    finished = len(history.apparent)
    assert sum(len(each.seeds) - 1 for each in further) <= finished < 12
    assert history.ended == {"base": SETTLED}
