"""What people see first of a study in MLflow: a description, a view, and a run with its results.

The experiment has the claim and links; its saved view shows AUC, gaps and axes. The study's own run
holds the report and the front's figure, and the trials of front members have a tag. All of it is
made of files that `fairfm sweep run` and `fairfm report` write into the results folder.
"""

from __future__ import annotations

import csv
import getpass
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from analysis.front.palette import OKABE_ITO
from analysis.results.study_record import STUDIES, StoredStudy, read_study_record
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.fingerprint import fingerprint
from sweeps.planning.records import RunRecord, TrialRecord
from sweeps.tracking.run_writer import RunWriter
from sweeps.tracking.saved_view import (
    KEY,
    TAG,
    ViewedStudy,
    packed_view,
    unpacked_view,
    view_state,
)

FRONT_TABLE, REPORT = "front.csv", "report.html"
FILES = (REPORT, "front.svg", "front.pdf", FRONT_TABLE)
"""Files of a study that its run keeps as artifacts."""
KIND = "study"
ON_FRONT = "fairfm.front"
"""Tag of the trials of front members: the member's number in figures, from 1."""
CODE, COMMIT = "fairfm.code_version", "mlflow.source.git.commit"
NOTE = "mlflow.note.content"
PRIMARY = "mlflow.experiment.primaryMetric."
INCLUDE = "include"
"""The axis of configurations that a study adds by name: it names them once more."""
Described = Mapping[str, str]


@dataclass(frozen=True)
class TrackedStudy:
    """What MLflow says of a study as a whole."""

    name: str
    claim: str
    view: ViewedStudy

    @property
    def identity(self) -> str:
        """By which the study's own run is found."""
        return fingerprint([KIND, self.name])


def viewed(
    records: Sequence[RunRecord], objectives: Sequence[str], attributes: Sequence[str]
) -> ViewedStudy:
    """The axes of the records and what a search chose, with objectives and attributes."""
    trials = [record for record in records if isinstance(record, TrialRecord)]
    axes = (axis.rsplit(".", 1)[-1] for each in trials for axis in each.axes if axis != INCLUDE)
    chosen = (name for each in trials for name in (each.search or {}).get("parameters", {}))
    return ViewedStudy(list(dict.fromkeys([*axes, *chosen])), list(objectives), list(attributes))


def write_page(writer: RunWriter, study: TrackedStudy) -> None:
    """Write the experiment's description and saved view, where they differ from what it has."""
    held = writer.experiment_tags()
    wanted = {
        NOTE: _description(study, writer),
        f"{PRIMARY}name": "val/auc",
        f"{PRIMARY}greaterIsBetter": "True",
    }
    state = view_state(study.view)
    if unpacked_view(held.get(TAG, "")) != state:
        wanted[TAG] = packed_view(state, int(time.time() * 1000))
    writer.tag_experiment({key: value for key, value in wanted.items() if held.get(key) != value})


def _description(study: TrackedStudy, writer: RunWriter) -> str:
    """The claim, then links: the view, and the report once there is one."""
    page = f"#/experiments/{writer.experiment}/runs"
    links = [f"[Front and axes]({page}?viewStateShareKey={KEY}&compareRunsMode=CHART)"]
    links += [f"[Table]({page}?viewStateShareKey={KEY})"]
    run = writer.run_id(study.identity)
    if run is not None:
        links.append(f"[Report]({page}/{run}/artifacts/{REPORT})")
    claim = " ".join(study.claim.split())
    return "\n\n".join(filter(None, [f"**{study.name}.** {claim}".rstrip(), " · ".join(links)]))


def write_results(writer: RunWriter, store: ArtifactStore, study: str) -> None:
    """Write the study's own run and tag front members; nothing without a front in the folder."""
    if not store.holds(STUDIES, study, FRONT_TABLE):
        return
    stored, _ = read_study_record(store, study)
    trials = [TrialRecord(**trial.model_dump()) for trial in stored.trials]
    rows = list(csv.DictReader(io.StringIO(store.read_bytes(STUDIES, study, FRONT_TABLE).decode())))
    members = _members(rows)
    _tag_trials(writer, trials, members, _colours(stored, rows), source_tags(stored.code_version))
    tracked = TrackedStudy(
        study,
        stored.claim,
        viewed(
            trials, [each.name for each in stored.objectives], stored.spec.evaluation.attributes
        ),
    )
    _write_run(writer, store, tracked, len(members), len(rows), source_tags(stored.code_version))
    write_page(writer, tracked)


def _members(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The number of each front member by the configuration's group; front.csv lists them first."""
    groups = [row["group"] for row in rows if row["on_front"] == "True"]
    return {group: str(place) for place, group in enumerate(groups, start=1)}


def _colours(stored: StoredStudy, rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """A colour for each group by the first axis, as in the report."""
    axis = next(iter(stored.axes), None)
    labels = [row.get(axis or "", "") for row in sorted(rows, key=lambda row: row["label"])]
    places = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    return {
        row["group"]: OKABE_ITO[places[row.get(axis or "", "")] % len(OKABE_ITO)] for row in rows
    }


def source_tags(code: str) -> Described:
    """Tags that name the code of a run; the commit where there was a checkout."""
    version, _, commit = code.partition(" ")
    tags = {CODE: code, "mlflow.source.name": f"fairfm {version}", "mlflow.source.type": "PROJECT"}
    return tags | ({COMMIT: commit.removesuffix("+dirty")} if commit else {})


def _tag_trials(
    writer: RunWriter,
    trials: Sequence[TrialRecord],
    members: Mapping[str, str],
    colours: Mapping[str, str],
    source: Described,
) -> None:
    for trial in trials:
        if writer.run_id(trial.identity) is None:
            continue
        wanted = {**source, ON_FRONT: members.get(trial.group)}
        wanted["mlflow.runColor"] = colours.get(trial.group)
        for key, value in wanted.items():
            if value is None:
                writer.untag(trial.identity, key)
            elif writer.tag_of(trial.identity, key) != value:
                writer.tag(trial.identity, key, value)


def _write_run(
    writer: RunWriter,
    store: ArtifactStore,
    study: TrackedStudy,
    members: int,
    configurations: int,
    source: Described,
) -> None:
    """The study's run: how many configurations are on the front, and the files of the study."""
    identity, now = study.identity, int(time.time() * 1000)
    held = [name for name in FILES if store.holds(STUDIES, study.name, name)]
    stamp = fingerprint([store.read_bytes(STUDIES, study.name, name).hex() for name in held])
    if writer.finished(identity) and writer.tag_of(identity, "fairfm.files") == stamp:
        return
    writer.start(identity, f"study {study.name}", KIND, source)
    values = {"front/members": float(members), "front/configurations": float(configurations)}
    with _local(store, study.name, held) as files:
        writer.final(identity, values, now, files)
    writer.tag(identity, NOTE, " ".join(study.claim.split()) or study.name)
    writer.tag(identity, "fairfm.files", stamp)
    writer.end(identity, "FINISHED", int(time.time() * 1000))


@contextmanager
def _local(store: ArtifactStore, study: str, names: Sequence[str]) -> Iterator[list[Path]]:
    """The study's files on this machine."""
    from fairfm_core.storage.scratch import scratch_folder

    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        for name in names:
            (folder / name).write_bytes(store.read_bytes(STUDIES, study, name))
        yield [folder / name for name in names]


def user() -> Described:
    """The tag that names who runs this program; nothing where the system does not say."""
    try:
        return {"mlflow.user": getpass.getuser()}
    except (OSError, KeyError):
        return {}
