"""A trial's stages in a results folder: where they are, and which nobody else needs."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.results.results import check_study, known_studies
from analysis.results.study_record import RECORD, STUDIES, StoredTrial, read_study_record
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.storage.layout import check_schema


@dataclass(frozen=True)
class TrialStage:
    """One stage of a trial."""

    kind: str
    fingerprint: str
    shared: int
    """How many other trials of the results folder need it."""


def refuse_unknown_needs(store: ArtifactStore) -> None:
    """Raise BadInput for a study without its record, because what it needs is unknown.

    The record was set aside by a repair, or lost; a study that was never run has no files.
    """
    for path in store.files(STUDIES):
        study, *names = path.split("/")
        if names and not store.holds(STUDIES, study, RECORD):
            aside = store.holds(STUDIES, study, f"{RECORD}.damaged")
            state = "damaged" if aside else "missing"
            raise BadInput(
                f"the record of study {study} is {state}, so what it needs is unknown: run the "
                f"study again, which writes the record, or delete {store.path(STUDIES, study)}"
            )


def stages_of_trial(store: ArtifactStore, name: str, study: str | None) -> list[TrialStage]:
    """The stages of the trial of this name, in the order in which they run.

    Raises BadInput for an unknown trial or study, for a trial that several studies have, and for a
    results folder of another version.
    """
    check_schema(store)
    known = known_studies(store)
    if study is not None:
        check_study(store.location, study, known)
    trials = {each: read_study_record(store, each)[0].trials for each in known}
    named = [
        (each, trial)
        for each, listed in trials.items()
        for trial in listed
        if trial.name == name and study in (None, each)
    ]
    if not named:
        searched = [
            t.name for each, listed in trials.items() for t in listed if study in (None, each)
        ]
        raise BadInput(
            f"no trial {name!r} in {store.location}{did_you_mean(name, searched)}; "
            "`fairfm sweep status` lists the names of a study"
        )
    if len(named) > 1:
        studies = " or ".join(each for each, _ in named)
        raise BadInput(f"several studies have a trial {name!r}; add --study {studies}")
    chosen, trial = named[0]
    others = [
        other
        for each, listed in trials.items()
        for other in listed
        if (each, other.name) != (chosen, name)
    ]
    stages = [*trial.stages.items(), *(("adapt", each) for each in trial.smaller)]
    return [_stage(store, kind, f, others) for kind, f in stages]


def _stage(
    store: ArtifactStore, kind: str, fingerprint: str, others: list[StoredTrial]
) -> TrialStage:
    if kind == "weights" and not store.exists(kind, fingerprint):
        kind = "pretrain"  # the record has one key for both
    shared = sum(fingerprint in (*o.stages.values(), *o.smaller) for o in others)
    return TrialStage(kind, fingerprint, shared)
