"""Pre-training corpora: images of one or more prepared data sets, drawn and cleaned by patient.

A patient is identified by data set name and patient id, so data sets never mix their ids; two
prepared folders of one source (all of CheXpert, and the cohort that models are tested on) are given
the same name. Labels, groups and splits play no part, except that the patients of the evaluation's
validation and test splits leave the corpus unless they are asked to stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.config import fingerprint
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import BadInput
from fairfm_core.seeding import stream_seed

EVALUATION_SPLITS = ("val", "test")
ORIGIN_OF: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "phantom": lambda origin: str(origin["world"]["seed"]),
    "table": lambda origin: str(origin["table_sha256"]),
    "photographs": lambda origin: fingerprint(sorted(origin["photographs"].values())),
}
"""What tells apart the sources of a kind that names no public data set."""

"""Kinds of which two data sets need not hold the same patients."""
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Count:
    """Patients and their images."""

    patients: int
    images: int


@dataclass(frozen=True, eq=False)
class Corpus:
    """What a model is pre-trained on.

    Attributes:
        rows: for each data set by name, the rows of its image store, ascending.
        counts: for each data set, what is in the corpus.
        overlap: for each data set, what of the corpus belongs to patients of the evaluation;
            zero where these were left out.
        excluded: for each data set, what was left out for that reason.
        digest: identity of the images by content: data sets' digests and image ids, no names.
    """

    rows: Mapping[str, Rows]
    counts: Mapping[str, Count]
    overlap: Mapping[str, Count]
    excluded: Mapping[str, Count]
    digest: str

    @property
    def images(self) -> int:
        """Number of images."""
        return sum(count.images for count in self.counts.values())

    @property
    def patients(self) -> int:
        """Number of patients; those of different data sets are different people."""
        return sum(count.patients for count in self.counts.values())


def pretraining_corpus(
    datasets: Mapping[str, PreparedData],
    evaluation: Mapping[str, PreparedData],
    *,
    fraction: float = 1.0,
    seed: int = 0,
    exclude_eval_patients: bool = True,
) -> Corpus:
    """The union of `datasets`, or the images of a `fraction` of their patients (Table 5).

    A patient is in the corpus if a number that is hashed from the seed, the data set and the
    patient lies below `fraction`: so a smaller fraction of the same seed is inside a larger one,
    and the share of patients is `fraction` up to chance. The order of rows plays no part.

    Args:
        datasets: prepared data sets by name; all their images, of any split.
        evaluation: data sets by name whose validation and test patients models are judged on.
        fraction: share of patients, above 0 and up to 1.
        seed: of the fraction; 1.0 does not depend on it.
        exclude_eval_patients: whether patients of the evaluation leave the corpus.

    Raises:
        BadInput: no data set, one source under two names, a fraction out of range, or nothing
            left.
    """
    _check(datasets, evaluation, fraction)
    judged = {name: _judged_patients(data.frame) for name, data in evaluation.items()}
    rows, counts, overlap, excluded, content = {}, {}, {}, {}, []
    for name, data in datasets.items():
        frame = data.frame[_sampled(data.frame["patient_id"], name, fraction, seed)]
        theirs = frame["patient_id"].isin(judged.get(name, set()))
        kept = frame[~theirs] if exclude_eval_patients else frame
        nobody = frame.head(0)
        rows[name] = np.sort(kept["row"].to_numpy(dtype=np.int64))
        counts[name] = _count(kept)
        overlap[name] = _count(nobody if exclude_eval_patients else frame[theirs])
        excluded[name] = _count(frame[theirs] if exclude_eval_patients else nobody)
        content.append([data.digest, _ids_digest(kept["image_id"])])
    corpus = Corpus(rows, counts, overlap, excluded, fingerprint({"corpus": sorted(content)}))
    if not corpus.images:
        raise BadInput(
            f"no image of {', '.join(datasets)} is left for pre-training: raise the fraction"
            f" ({fraction:g}), add a data set, or keep the evaluation's patients"
        )
    return corpus


def corpus_text(corpus: Corpus) -> str:
    """The corpus in lines: images and patients of each data set, and who else is judged on."""
    lines = []
    for name, count in corpus.counts.items():
        line = f"{name}: {count.images:,} images of {count.patients:,} patients"
        for part, what in ((corpus.excluded, "left out"), (corpus.overlap, "kept")):
            if part[name].patients:
                line += (
                    f"; {part[name].images:,} images of {part[name].patients:,} validation and test"
                    f" patients {what}"
                )
        lines.append(line)
    return "\n".join(lines)


def _check(
    datasets: Mapping[str, PreparedData], evaluation: Mapping[str, PreparedData], fraction: float
) -> None:
    if not datasets:
        raise BadInput("a corpus needs at least one prepared data set; none was given")
    if not 0 < fraction <= 1:
        raise BadInput(f"fraction {fraction:g} of a corpus: expected above 0 and up to 1")
    names: dict[str, str] = {}
    for name, data in [*datasets.items(), *evaluation.items()]:
        first = names.setdefault(source_of(data), name)
        if first != name:
            raise BadInput(
                f"{first!r} and {name!r} are of one source, so their patients are the same people:"
                " give both the same name (a corpus takes one of them)"
            )


def source_of(data: PreparedData) -> str:
    """Whose patients these are: a public data set's, or those of this very table or phantom.

    At any size, split and label policy: one table prepared twice is one source.
    """
    kind, origin = data.manifest.kind, data.manifest.origin
    own = ORIGIN_OF[kind](origin) if kind in ORIGIN_OF else ""
    return f"{kind} {own}".strip()


def _judged_patients(frame: pd.DataFrame) -> set[str]:
    return set(frame.loc[frame["split"].isin(EVALUATION_SPLITS), "patient_id"])


def _sampled(patient: pd.Series, name: str, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Whether each image's patient is in the fraction."""
    if fraction == 1:
        return np.ones(len(patient), dtype=np.bool_)
    codes, patients = pd.factorize(patient)
    place = [stream_seed(seed, "corpus", name, each) / 2**63 for each in patients]
    inside: NDArray[np.bool_] = (np.array(place) < fraction)[codes]
    return inside


def _count(frame: pd.DataFrame) -> Count:
    return Count(frame["patient_id"].nunique(), len(frame))


def _ids_digest(ids: pd.Series) -> str:
    return hashlib.sha256("\x1f".join(sorted(ids)).encode()).hexdigest()
