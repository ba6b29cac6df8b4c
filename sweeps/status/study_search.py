"""A study's searches against what is stored: what was asked for, told, and comes next."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from functools import partial
from math import inf

from analysis.results.results import known_studies
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.fingerprint import canonical_json
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.stages import pause_mark
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import StudySpec, study_searches
from sweeps.rungs.rung_values import rung_told
from sweeps.rungs.study_rungs import study_halving
from sweeps.search.asked import AskedConfiguration, starting_seeds
from sweeps.search.halving import Key
from sweeps.search.history import SearchHistory
from sweeps.search.journal import KEEP, open_journal, read_journal_lines
from sweeps.search.racing import Racer
from sweeps.search.rounds import StudySearch, search_identity
from sweeps.search.values import NumberReader, told_values


def open_search(study: StudySpec, store: ArtifactStore) -> StudySearch | None:
    """The searches of a study as its journal in `store` left them; None without a `search` section.

    Raises BadInput for a journal that belongs to something else.
    """
    if study.search is None:
        return None
    searches, seeds = study_searches(study), study.levels.adaptation
    identity = search_identity(study.search, searches, study.objectives, seeds)
    journal = open_journal(store, study.study, identity)
    halving = study_halving(study)
    search = StudySearch(study.search, searches, study.objectives, seeds, journal, halving=halving)
    if halving is None:
        journal.history.train_all()
    if study.search.replicates is not None:
        numbers = NumberReader(search.metrics, partial(stored_evaluation, store, "evaluate"))
        search.race = Racer(study.search, study.objectives, journal.history, seeds, numbers)
    return search


def searched_plan(study: StudySpec, search: StudySearch | None) -> StudyPlan:
    """The plan of a study with everything that its search has asked for.

    Raises BadInput where the journal's values are those of other training runs.
    """
    if search is None:
        return make_plan(study)
    plan, history = make_plan(study, search.asked), search.journal.history
    for key, told in history.told.items():
        if told.evaluations != plan.evaluations[key][: len(told.evaluations)]:
            raise _changed(study, key)
    for key, rungs in history.rungs.items():
        for rung, noted in rungs.items():
            runs = tuple(each.fingerprint for each in plan.rung_runs(key, rung))
            if noted.training_runs != runs[: len(noted.training_runs)]:
                raise _changed(study, key)
    return plan.pausing(history.until)


def _changed(study: StudySpec, key: Key) -> BadInput:
    return BadInput(
        f"the search of study {study.study} has values of {key[0]}.c{key[1]:03} that were made "
        "with another base, other data, other evaluation settings or another version of fairfm; "
        f"change that back, {KEEP}"
    )


def advanced(
    study: StudySpec,
    search: StudySearch,
    plan: StudyPlan,
    store: ArtifactStore,
    done: Set[str],
    failed: Mapping[str, str],
) -> StudyPlan:
    """Tell the search what is done and ask for the next rounds, until one has work that is missing.

    `done` are finished stages with the marks of pauses, `failed` the stages that will not be done
    in this run, with the reasons. The plan comes back unchanged while a round is still being worked
    on, and when the searches are over.
    """
    if search.spec.warm_start and not search.journal.history.rounds:
        known = _known(study, search, store, done)
        search.take_over(known)
        plan = plan.joined(make_plan(study, known)) if known else plan
    while True:
        waiting = _told(search, plan, store, done, failed)
        if waiting:
            return plan
        new = search.next_round()
        if not new:
            return plan
        if asked := [each for each in new if each.seeds]:
            plan = plan.joined(make_plan(study, asked))
        plan = plan.pausing(search.journal.history.until)


def _known(
    study: StudySpec, search: StudySearch, store: ArtifactStore, done: Set[str]
) -> list[AskedConfiguration]:
    """Configurations of other searches in the results folder that this one need not train."""
    seeds = starting_seeds(search.seeds, search.spec)
    found: list[AskedConfiguration] = []
    seen: set[str] = set()
    for other in [name for name in known_studies(store) if name != study.study]:
        for asked in SearchHistory().add_all(read_journal_lines(store, other)).asked.values():
            for one in search.searches:
                choices, name = asked.choices, canonical_json([one.cell, dict(asked.choices)])
                if name in seen or not one.space.holds(choices, one.labels_of(choices)):
                    continue
                seen.add(name)
                number = len(found) + 1
                cell, rounds = one.cell_of(choices), (1,) * len(seeds)
                found.append(
                    AskedConfiguration(one.cell, cell, number, choices, seeds, rounds, known=True)
                )
    plan = make_plan(study, found)
    finished = [each for each in found if set(plan.evaluations[each.key]) <= done]
    return [
        replace(each, number=number)
        for one in search.searches
        for number, each in enumerate((e for e in finished if e.search == one.cell), start=1)
    ]


def is_waiting(search: StudySearch, plan: StudyPlan, done: Set[str], failed: Set[str]) -> bool:
    """Whether a configuration that was asked for is still being worked on."""
    return any(
        not _has_ended(search, plan, each.key, done)
        and not _stages(search, plan, each.key) & failed
        for each in search.journal.history.open()
    )


def _has_ended(search: StudySearch, plan: StudyPlan, key: Key, done: Set[str]) -> bool:
    """Whether a configuration is trained as far as it was asked to be."""
    return set(plan.evaluations[key]) <= done or _has_paused(search, plan, key, done)


def _has_paused(search: StudySearch, plan: StudyPlan, key: Key, done: Set[str]) -> bool:
    rung = search.journal.history.until.get(key)
    if rung is None:
        return False
    return all(
        each.fingerprint in done or pause_mark(each.fingerprint, int(rung)) in done
        for each in plan.rung_runs(key, rung)
    )


def _stages(search: StudySearch, plan: StudyPlan, key: Key) -> set[str]:
    """The adaptations and evaluations of a configuration, and what comes before a rung."""
    rung = search.journal.history.until.get(key)
    runs = plan.training_runs(key) if rung is None else plan.rung_runs(key, rung)
    return {*plan.evaluations[key], *(each.fingerprint for each in runs)}


def _told(
    search: StudySearch,
    plan: StudyPlan,
    store: ArtifactStore,
    done: Set[str],
    failed: Mapping[str, str],
) -> bool:
    """Tell the search of every configuration that has ended, in order; returns whether some have
    not. All are noted together, so that what the search learns depends on no order of finishing."""
    if is_waiting(search, plan, done, failed.keys()):
        return True

    read = partial(stored_evaluation, store, "evaluate")
    for each in search.journal.history.open():
        evaluations = plan.evaluations[each.key]
        if not _has_ended(search, plan, each.key, done):
            search.fail(each.key, _reason(_stages(search, plan, each.key), failed))
            continue
        _tell_rungs(search, plan, store, each)
        if set(evaluations) <= done:
            search.tell(each.key, told_values(evaluations, each.seeds, search.metrics, read))
    return False


def _tell_rungs(
    search: StudySearch, plan: StudyPlan, store: ArtifactStore, asked: AskedConfiguration
) -> None:
    """Note the values at the rungs that a configuration has passed since they were last noted.

    They are those of its first seeds: further ones are for configurations that have finished.
    """
    if search.halving is None:
        return
    known = search.journal.history.rungs.get(asked.key, {})
    until = search.journal.history.until.get(asked.key, inf)
    fidelity, seeds = search.halving.spec.record, len(starting_seeds(search.seeds, search.spec))
    for rung in search.halving.rungs_of(asked.search, asked.choices):
        if rung not in known and (rung <= until if fidelity.continues else rung == until):
            runs = plan.rung_runs(asked.key, rung)[:seeds]
            epochs = int(rung) if fidelity.continues else None
            search.tell_rung(asked.key, rung, rung_told(store, runs, epochs, search.metrics))


def _reason(stages: Set[str], failed: Mapping[str, str]) -> str:
    return next(failed[fingerprint] for fingerprint in sorted(stages) if fingerprint in failed)
