"""`precision: auto` of a study on a CPU: measured once, and kept with the study's results.

Which precision is faster depends on the processor, so a study that chose anew on each machine would
be another study there. The choice is made when a study begins, and noted beside its record:

studies/<study>/precision.json    the precision of all its networks

It is one for all trials, since they are compared with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.results.study_record import RECORD, STUDIES
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.adaptation import without_schedule
from fairfm_core.config.frozen import Precision
from fairfm_core.config.trial import Trial
from fairfm_core.cores import processor_name
from fairfm_core.errors import BadFile, BadInput
from sweeps.planning.study import StudySpec
from sweeps.status.network_questions import Question

CHOICE = "precision.json"
AUTO: Precision = "auto"
FASTER: Precision = "bf16"
WORTH = 1.25
"""How many times as fast bfloat16 must be: fewer digits are no gift."""
SMALLEST = 96
"""Side of the smallest images, in pixels, for which a choice takes less time than it saves."""
UNITS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls a processor's instructions for bfloat16."""
PROCESSOR = Path("/proc/cpuinfo")


def as_begun(study: StudySpec, store: ArtifactStore) -> StudySpec:
    """The study with the precision that was chosen when it began in `store`, if it names none."""
    if study.precision != AUTO:
        return study
    try:
        chosen = store.read_json(STUDIES, study.study, CHOICE)["precision"]
    except (FileNotFoundError, NotADirectoryError, PermissionError, KeyError, BadFile):
        return study  # a folder that cannot be used is refused where it is checked
    if chosen != FASTER:
        raise BadInput(
            f"{store.place(STUDIES, study.study, CHOICE)} names a precision {chosen!r}, which is "
            "not known; write `precision` into the study"
        )
    return study.model_copy(update={"precision": chosen})


def note_choice(study: StudySpec, store: ArtifactStore) -> None:
    """Note the precision of a study that begins, unless it is that of each device."""
    if study.precision == FASTER:
        store.write_json({"precision": study.precision}, STUDIES, study.study, CHOICE)


def has_begun(study: StudySpec, store: ArtifactStore) -> bool:
    """Whether some run has taken the study up: its precision stays."""
    return store.exists(STUDIES, study.study, RECORD)


def gain_questions(trials: Sequence[Trial]) -> list[Question]:
    """How much faster each distinct network of the trials that leave it open is in bfloat16.

    None where the answer is known without measuring: no instructions for it, small images.
    """
    if not has_units():
        return []
    work, here = "fairfm_core.training.sixteen_bits:gain_of_16_bits", processor_name()
    questions = (
        Question(work, (trial.backbone, without_schedule(trial.adaptation), here))
        for trial in {id(trial.adaptation): trial for trial in trials}.values()
        if trial.adaptation.precision == AUTO and trial.backbone.image_size >= SMALLEST
    )
    return list({question.key: question for question in questions}.values())


def has_units() -> bool:
    """Whether this processor has instructions for bfloat16."""
    try:
        return not UNITS.isdisjoint(PROCESSOR.read_text().split())
    except OSError:
        return False


def chosen(gains: Sequence[float]) -> Precision:
    """The precision of a study whose networks are so many times as fast in bfloat16."""
    return FASTER if gains and min(gains) >= WORTH else AUTO
