"""The record of a study in a results folder, checked like any other input.

A results folder may come from somebody else. So names that become paths or are printed, and
fingerprints that become folders, are checked before anything uses them.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.objectives import Objective, parse_objectives

STUDIES = "studies"
RECORD = "study.json"
STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"

Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$", max_length=1000)]
"""One line that is safe to print: without control characters."""
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""As `Text`, of any length."""
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]


class _Stored(BaseModel):
    """A part of the record; keys of other versions are ignored."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class StoredTrial(_Stored):
    """What the record says of one trial."""

    name: Text
    axes: dict[Text, Text]
    seed: int
    group: Fingerprint
    adapt: Fingerprint
    evaluate: Fingerprint
    features: Fingerprint | None = None
    weights: Fingerprint | None = None
    """The stage of the initial weights: `weights` or `pretrain`."""
    digest: Text
    config: dict[str, Any]

    @property
    def stages(self) -> dict[str, str]:
        """Fingerprints of the trial's stages by kind; `weights` may also be a pre-training."""
        kinds = ("weights", "features", "adapt", "evaluate")
        named = {kind: getattr(self, kind) for kind in kinds}
        return {kind: fingerprint for kind, fingerprint in named.items() if fingerprint}


class _StoredPretraining(_Stored):
    name: Text
    identity: Fingerprint
    config: dict[str, Any]


class _StoredTracking(_Stored):
    uri: Text | None = None


class _StoredSpec(_Stored):
    evaluation: EvaluationSettings
    objectives: list[Objective]
    tracking: _StoredTracking = _StoredTracking()


class _StoredData(_Stored):
    folder: Text


class StoredComparison(_Stored):
    """On what terms the trials are compared, as the plan said; empty in older records."""

    images: list[Line] = []
    """How images are stored and shown."""
    training: list[Line] = []
    notes: list[Line] = []
    """What was made equal, and where the paper differs."""
    warnings: list[Line] = []
    """What differs although no axis names it."""


class StoredStudy(_Stored):
    """What `studies/<study>/study.json` says."""

    study: str = Field(pattern=STUDY_NAME, max_length=200)
    claim: str = ""
    spec: _StoredSpec
    spec_sha: Text = "unknown"
    code_version: Text = "unknown"
    axes: list[Text] = []
    comparison: StoredComparison = StoredComparison()
    data: dict[Text, _StoredData] = {}
    pretrainings: list[_StoredPretraining] = []
    trials: list[StoredTrial]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The study's objectives: validation metrics, each with its direction."""
        written = [objective.model_dump() for objective in self.spec.objectives]
        return parse_objectives(written, self.spec.evaluation)


def read_study_record(store: ArtifactStore, study: str) -> tuple[StoredStudy, dict[str, Any]]:
    """The checked record of a study, and its whole content as it was written.

    Raises BadInput, naming the file and what is wrong with it.
    """
    place = (STUDIES, study, RECORD)
    try:
        content = store.read_json(*place)
        record = StoredStudy.model_validate(content)
        _ = record.objectives
    except (ValidationError, BadInput, FileNotFoundError) as error:
        raise BadInput(
            f"{store.location}/{'/'.join(place)} is not the record of a study "
            f"({_first_fault(error)}); `fairfm sweep run` of the study writes it again"
        ) from error
    if record.study != study:
        raise BadInput(
            f"{store.location}/{'/'.join(place)} is the record of study {record.study!r}; "
            "`fairfm sweep run` of the study writes it again"
        )
    return record, content


def _first_fault(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first, *others = error.errors(include_url=False)
    place = ".".join(str(part)[:80] for part in first["loc"])
    more = f", and {len(others)} more" if others else ""
    return f"{place}: {first['msg']}{more}"
