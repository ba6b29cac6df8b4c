"""The record of a study in a results folder, checked like any other input.

A results folder may come from somebody else. So names that become paths or are printed, and
fingerprints that become folders, are checked before anything uses them. The record carries a seal,
the checksum of its content, so that no label, seed or axis changes unnoticed; records of older
versions have none.
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.yaml_input import faults_of
from fairfm_core.errors import BadFile, BadInput
from fairfm_core.evaluation.selection.constraints import Constraint
from fairfm_core.evaluation.selection.objectives import Objective, parse_objectives
from fairfm_core.stages import PRETRAIN, TRUNK
from fairfm_core.storage.markers import SCHEMA, is_sealed, parse_object, sealed
from fairfm_core.storage.retries import StoreUnavailable

STUDIES = "studies"
RECORD = "study.json"
STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
SEALED = {"schema", "seal"}
"""Keys that a record has both of, or neither if an older version wrote it."""
AGAIN = "`fairfm sweep run` of the study writes it again"


def _printable(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        raise BadInput(f"must be one line without control characters, not {text[:60]!r}")
    return text


def _hexadecimal(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{20}", text):
        raise BadInput(f"must be 20 hexadecimal digits, not {text[:60]!r}")
    return text


def _study_name(name: str) -> str:
    if not re.fullmatch(STUDY_NAME, name):
        raise BadInput(f"must be letters, digits, - and _, not {name[:60]!r}")
    return name


Text = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]
"""One line that is safe to print."""
Line = Annotated[str, AfterValidator(_printable)]
"""As `Text`, of any length."""
Fingerprint = Annotated[str, AfterValidator(_hexadecimal)]


class _Stored(BaseModel):
    """A part of the record; keys of other versions are ignored."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


RUNG_TEXTS = {
    "epochs": "after epoch {:g}",
    "fraction": "at {:.3g} of the training patients",
    "image_size": "at {:g} pixels",
}
"""Where a search has stopped a training, by what its rungs are less of."""


def rung_text(fidelity: str, rung: float) -> str:
    """Where a search has stopped a training, in words."""
    return RUNG_TEXTS[fidelity].format(rung)


class StoredSearch(_Stored):
    """What the record of a trial says of the search that asked for it."""

    cell: Text
    """The cell of the search, or `all`."""
    number: int
    """Its configuration's place in the search, from 1."""
    round: int
    """The round of the search that asked for this trial."""
    parameters: dict[Text, float | Text]
    """What was chosen of each parameter: a number or a label."""
    until: int | float | None = None
    """The rung at which the search has stopped its training; None for the whole training."""
    fidelity: Literal["epochs", "fraction", "image_size"] = "epochs"
    """What a rung is less of than the whole training."""

    @property
    def stopped(self) -> str | None:
        """Where the search has stopped it, in words; None for the whole training."""
        return None if self.until is None else rung_text(self.fidelity, self.until)


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
    pretraining_seed: int | None = None
    """Which repetition of its pre-training it starts from; None where the study repeats none, and
    in older records."""
    digest: Text
    config: dict[str, Any]
    search: StoredSearch | None = None
    """What a search chose for it; None for a cell of the matrix, and in older records."""
    smaller: tuple[Fingerprint, ...] = ()
    """The stages of its training at the rungs of a search, where each is one of its own."""

    @property
    def pretraining(self) -> str | None:
        """The fingerprint of its pre-training; None for random or published weights."""
        return self.weights if self.config.get("pretraining") else None

    @property
    def published(self) -> bool:
        """Whether it starts from published weights."""
        return self.weights is not None and self.pretraining is None

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
    trunk: Fingerprint | None = None
    """The stage of the epochs that it shares with other lengths."""

    @property
    def stages(self) -> dict[str, str]:
        """Fingerprints of its stages by kind, in the order in which they run."""
        trunk = {} if self.trunk is None else {TRUNK: self.trunk}
        return {**trunk, PRETRAIN: self.identity}


class _StoredTracking(_Stored):
    uri: Text | None = None


class _StoredSeeds(_Stored):
    """Seeds of both levels."""

    adaptation: list[int] = []
    pretraining: list[int]


class _StoredSearchSpec(_Stored):
    """The search of a study, as far as its front depends on it."""

    constraints: list[Constraint] = []


class _StoredSpec(_Stored):
    seeds: list[int] | _StoredSeeds = []
    evaluation: EvaluationSettings
    objectives: list[Objective]
    tracking: _StoredTracking = _StoredTracking()
    search: _StoredSearchSpec | None = None


class StoredData(_Stored):
    """A data set on which a study evaluates."""

    folder: Text
    kind: Text | None = None
    """What it was prepared from, such as `phantom` or `chexpert`; None in older records."""


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

    study: Annotated[str, Field(max_length=200), AfterValidator(_study_name)]
    claim: str = ""
    spec: _StoredSpec
    spec_sha: Text = "unknown"
    code_version: Text = "unknown"
    axes: list[Text] = []
    comparison: StoredComparison = StoredComparison()
    data: dict[Text, StoredData] = {}
    pretrainings: list[_StoredPretraining] = []
    trials: list[StoredTrial]

    @property
    def both_levels(self) -> bool:
        """Whether the study lists seeds of pre-trainings beside those of adaptations."""
        return isinstance(self.spec.seeds, _StoredSeeds)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Bounds that a configuration must keep to be on the front; none without a search."""
        return () if self.spec.search is None else tuple(self.spec.search.constraints)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The study's objectives: validation metrics, each with its direction."""
        written = [objective.model_dump() for objective in self.spec.objectives]
        return parse_objectives(written, self.spec.evaluation)


def configuration_label(name: str, seed: int, pretraining_seed: int | None = None) -> str:
    """A trial's name without its seeds: what all trials of its configuration are called."""
    label = name.removesuffix(f"s{seed}").rstrip(".")
    if pretraining_seed is not None:
        label = label.removesuffix(f"p{pretraining_seed}").rstrip(".")
    return label or "base"


def write_study_record(store: ArtifactStore, study: str, content: dict[str, Any]) -> None:
    """Write the record of a study, sealed."""
    store.write_json(sealed(content | {"schema": SCHEMA}), STUDIES, study, RECORD)


def read_study_record(store: ArtifactStore, study: str) -> tuple[StoredStudy, dict[str, Any]]:
    """The checked record of a study, and its whole content as it was written.

    Raises BadFile, naming the file and what is wrong with it.
    """
    store.path(STUDIES, study, RECORD)  # a link that leads out is refused with its own advice
    try:
        content = _intact_content(store, study)
        record = StoredStudy.model_validate(content)
        _ = record.objectives
    except StoreUnavailable:
        raise
    except (ValueError, OSError) as error:
        place = store.place(STUDIES, study, RECORD)
        raise BadFile(place, f"is damaged ({_reason(error)}); {AGAIN}") from error
    return record, content


def _intact_content(store: ArtifactStore, study: str) -> dict[str, Any]:
    content = parse_object(store.read_bytes(STUDIES, study, RECORD))
    if SEALED & content.keys() and not is_sealed(content):
        raise BadInput("it differs from what was stored")
    if content.get("study", study) != study:
        raise BadInput(f"it is the record of study {str(content['study'])[:80]!r}")
    return content


def _reason(error: Exception) -> str:
    """What is wrong with a record, in our words and without its path."""
    if isinstance(error, ValidationError):
        first, *others = faults_of(StoredStudy, error)
        return f"{first}, and {len(others)} more" if others else first
    if isinstance(error, FileNotFoundError):
        return "it is missing"
    if isinstance(error, OSError):
        # Arrow's own text would name the path once more.
        return f"it cannot be read: {os.strerror(error.errno) if error.errno else error}"
    return f"it {error.reason}" if isinstance(error, BadFile) else str(error)
