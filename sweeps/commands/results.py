"""`fairfm results`: check, repair and clean up a results folder; find and remove a trial."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from sweeps.cli import SOME_FAILED

if TYPE_CHECKING:
    from fairfm_core.artifacts import ArtifactStore

FOLDER = click.argument("results")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
STUDY = click.option(
    "--study", metavar="NAME", help="Study of the trial; needed if several have its name."
)


@click.group()
def results() -> None:
    """Check, repair and clean up a results folder.

    RESULTS is the folder or URI of `fairfm sweep run`.
    """


@results.command()
@FOLDER
@AS_JSON
def check(results: str, as_json: bool) -> None:
    """Read everything in RESULTS and list what is wrong.

    Verifies the checksum of every file, and every marker, study, checkpoint and link. Changes
    nothing. Exits with 1 if something is wrong.
    """
    from sweeps.upkeep.faults import check_results

    found = check_results(_opened(results))
    if as_json:
        faults = [{"place": fault.place, "what": fault.what} for fault in found.faults]
        click.echo(json.dumps({"stages": found.stages, "older": found.older, "faults": faults}))
    else:
        _print_faults([(fault.place, fault.what) for fault in found.faults])
        click.echo(f"{found.stages} finished stages read: {_counted(len(found.faults), 'fault')}")
        if found.older:
            click.echo(
                f"{_counted(found.older, 'stage')} of an older version without checksums: "
                "only sizes and tables were checked"
            )
        if found.faults:
            click.echo(f"repair with: fairfm results repair {results}")
    if found.faults:
        sys.exit(SOME_FAILED)


@results.command()
@FOLDER
def repair(results: str) -> None:
    """Mark what is broken in RESULTS as unfinished, so that its study makes it again.

    Deletes no result; links that lead out of the folder, and damaged checkpoints, are removed.
    """
    from analysis.results.results import known_studies
    from sweeps.claims.study_lock import all_studies_locked
    from sweeps.upkeep.faults import check_results

    store = _opened(results)
    with all_studies_locked(store):
        faults = check_results(store).faults
        for fault in faults:
            fault.repair()
    _print_faults([(fault.place, fault.what) for fault in faults])
    if not faults:
        click.echo("nothing to repair")
        return
    click.echo(f"{_counted(len(faults), 'fault')} repaired; make what is missing again with:")
    for study in known_studies(store):
        click.echo(f"  fairfm sweep run STUDY --results {results}    # the file of study {study}")


@results.command()
@FOLDER
@click.option("--delete", is_flag=True, help="Delete what is listed.  [default: list it only]")
@AS_JSON
def gc(results: str, delete: bool, as_json: bool) -> None:
    """List what no study in RESULTS needs, with sizes; delete it with --delete.

    Lists stages that no study needs, checkpoints of finished training runs, failures
    of stages that have finished since, and temporary files and claims of killed processes.
    """
    from sweeps.claims.study_lock import all_studies_locked
    from sweeps.upkeep.orphans import orphans, remove_orphans

    store = _opened(results)
    with all_studies_locked(store) if delete else nullcontext():
        found = orphans(store)
        kept = remove_orphans(store, found) if delete else []
    found = [orphan for orphan in found if orphan not in kept]
    if as_json:
        listed = [{"place": o.place, "why": o.why, "bytes": o.size} for o in found]
        click.echo(json.dumps({"deleted": delete, "orphans": listed}))
        return
    for orphan in found:
        click.echo(f"{_size(orphan.size):>9}  {orphan.place}  {orphan.why}")
    for orphan in kept:
        click.echo(f"kept: {orphan.place}  a study has begun to need it")
    total = f"{_counted(len(found), 'item')}, {_size(sum(orphan.size for orphan in found))}"
    click.echo(f"{total} {'deleted' if delete else 'can be deleted with --delete'}")


@results.command()
@FOLDER
@click.argument("trial")
@STUDY
@AS_JSON
def where(results: str, trial: str, study: str | None, as_json: bool) -> None:
    """Show the folders of a trial's stages.

    TRIAL is its name, as `fairfm sweep status` shows it.
    """
    from sweeps.upkeep.trials import stages_of_trial

    store = _opened(results)
    rows: list[dict[str, Any]] = []
    for stage in stages_of_trial(store, trial, study):
        inspection = store.inspect(stage.kind, stage.fingerprint)
        state = "done" if inspection.done else "damaged" if inspection.damage else "not done"
        place = store.place(stage.kind, stage.fingerprint)
        rows.append({"stage": stage.kind, "state": state, "shared": stage.shared, "place": place})
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(f"{row['stage']:8}  {row['state']:8}  {row['place']}{_shared(row['shared'])}")


@results.command()
@FOLDER
@click.argument("trial")
@STUDY
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(results: str, trial: str, study: str | None, yes: bool) -> None:
    """Remove a trial's stages from RESULTS, except those that other trials need.

    The trial stays in its study: running the study makes it again.
    """
    from sweeps.claims.study_lock import all_studies_locked
    from sweeps.upkeep.trials import refuse_unknown_needs, stages_of_trial

    store = _opened(results)
    stages = stages_of_trial(store, trial, study)
    refuse_unknown_needs(store)
    own = [s for s in stages if not s.shared and store.exists(s.kind, s.fingerprint)]
    for stage in stages:
        if stage.shared:
            click.echo(f"kept: {stage.kind}/{stage.fingerprint}{_shared(stage.shared)}")
    for stage in own:
        click.echo(f"to remove: {stage.kind}/{stage.fingerprint}")
    if not own:
        click.echo("nothing to remove")
        return
    if not yes:
        click.confirm("remove?", abort=True)
    with all_studies_locked(store):
        # A study may have begun to need some of them while the question waited for its answer.
        current = stages_of_trial(store, trial, study)
        own = [stage for stage in own if stage in current]
        for stage in own:
            store.remove(stage.kind, stage.fingerprint)
            store.drop_checkpoints(stage.fingerprint)
            store.clear_failure(stage.fingerprint)
    click.echo(f"removed {_counted(len(own), 'stage')}")


def _opened(location: str) -> ArtifactStore:
    from fairfm_core.artifacts import open_store
    from fairfm_core.errors import BadInput

    store = open_store(location)
    if not store.holds("fairfm.json") and not store.holds("studies"):
        raise BadInput(f"{location!r} is not a results folder; give that of `fairfm sweep run`")
    return store


def _print_faults(rows: list[tuple[str, str]]) -> None:
    width = max((len(place) for place, _ in rows), default=0)
    for place, what in rows:
        click.echo(f"{place:{width}}  {what}")


def _shared(others: int) -> str:
    return f"  (shared with {_counted(others, 'other trial')})" if others else ""


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size} B"
