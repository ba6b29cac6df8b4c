"""Pre-training corpora: images of one or more prepared data sets, sampled by patient.

Patients in the validation and test splits of the evaluation are left out unless a study keeps them
(`patients.py` says who is the same person), and so are patients with a copy of a validation or test
image, whatever their ids. Labels, groups and splits are otherwise ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.data.corpora.patients import (
    by_source,
    copied_patients,
    display_name,
    evaluation_patients,
)
from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.errors import BadInput
from fairfm_core.seeding import stream_seed


@dataclass(frozen=True)
class Count:
    """Patients and their images."""

    patients: int
    images: int


@dataclass(frozen=True, eq=False)
class CorpusPart:
    """The images of one data set in a corpus.

    Attributes:
        name: its name for the user: that of its folder, and its kind.
        rows: positions in its image store, ascending.
        count: patients and images in the corpus.
        overlap: those in the corpus that belong to patients of the evaluation; zero where these
            were left out.
        excluded: those left out because they belong to patients of the evaluation.
        copies: those of other patients who are in the corpus although one of their images is a
            copy of an image of the evaluation.
        excluded_copies: those left out because one of their images is such a copy.
        shared: names of data sets of the evaluation that are of another source but have some of
            the same patient ids, which count as the same people.
        content: identity of the images: the digests of the data set and of the image ids.
        unsealed: why its images are read unverified; empty if they are verified.
    """

    name: str
    rows: NDArray[np.int64]
    count: Count
    overlap: Count
    excluded: Count
    copies: Count
    excluded_copies: Count
    shared: tuple[str, ...]
    content: tuple[str, str]
    unsealed: str = ""


@dataclass(frozen=True, eq=False)
class Corpus:
    """The images that a model is pre-trained on.

    Attributes:
        parts: by the names of the data sets, in the order of their content. A training numbers the
            images in this order and draws them by number, so the order in which a study lists
            the data sets must not matter.
        digest: identity of the images by content: digests of data sets and image ids, no names.
    """

    parts: Mapping[str, CorpusPart]
    digest: str

    @property
    def images(self) -> int:
        """Number of images."""
        return sum(part.count.images for part in self.parts.values())

    @property
    def patients(self) -> int:
        """Number of patients; patients of different data sets count as different people."""
        return sum(part.count.patients for part in self.parts.values())


def open_corpora(folders: Sequence[str]) -> dict[str, PreparedData]:
    """Prepared data sets by the name of their source; BadInput if two have the same source."""
    return by_source(open_dataset(folder) for folder in folders)


def pretraining_corpus(
    datasets: Mapping[str, PreparedData],
    evaluation: Mapping[str, PreparedData],
    *,
    fraction: float = 1.0,
    seed: int = 0,
    exclude_eval_patients: bool = True,
    exclude_duplicates: bool = True,
) -> Corpus:
    """The union of `datasets`, or the images of a `fraction` of their patients (Table 5).

    A patient is in the corpus if a hash of the seed, the data set and the patient, as a number from
    0 to 1, lies below `fraction`. So a smaller fraction is part of a larger one of the same seed,
    the share of patients is `fraction` up to chance, and the order of rows and data sets does not
    matter.

    Args:
        datasets: prepared data sets by name, each of another source; the images of all their
            splits are used.
        evaluation: data sets by name on whose validation and test patients models are evaluated.
        fraction: share of patients, above 0 and up to 1.
        seed: of the fraction; a fraction of 1.0 does not depend on it.
        exclude_eval_patients: whether patients of the evaluation are left out; if not, copies of
            their images are not looked for either.
        exclude_duplicates: whether patients with a copy of an image of the evaluation are left out.

    Raises:
        BadInput: no data set, two with the same source, a fraction out of range, or no image left.
    """
    if not datasets:
        raise BadInput("a corpus needs at least one prepared data set; none was given")
    if not 0 < fraction <= 1:
        raise BadInput(f"fraction {fraction:g} of a corpus: give a number above 0 and at most 1")
    by_source(datasets.values())
    sampled = {}
    for name, data in datasets.items():
        inside = data.frame[_sampled(data.frame["patient_id"], name, fraction, seed)]
        excluding = exclude_eval_patients, exclude_duplicates
        sampled[name] = _part(data, inside, evaluation, *excluding)
    parts = dict(sorted(sampled.items(), key=lambda item: item[1].content))
    digest = fingerprint({"corpus": [part.content for part in parts.values()]})
    corpus = Corpus(parts, digest)
    if not corpus.images:
        raise BadInput(
            f"no image is left for pre-training ({', '.join(_lines(corpus))}): raise the fraction"
            f" ({fraction:g}), add a data set, or keep the evaluation's patients"
            " (exclude_eval_patients: false)"
        )
    return corpus


def corpus_text(corpus: Corpus) -> str:
    """The corpus in words, one line per data set: images, patients, overlap with the evaluation."""
    return "\n".join(_lines(corpus))


def _part(
    data: PreparedData,
    frame: pd.DataFrame,
    evaluation: Mapping[str, PreparedData],
    exclude: bool,
    exclude_copies: bool,
) -> CorpusPart:
    """The part of the corpus that comes from the sampled rows `frame` of a data set."""
    theirs, shared = evaluation_patients(data, frame["patient_id"], evaluation)
    kept = frame[~theirs] if exclude else frame
    copied = copied_patients(data, kept, evaluation if exclude else {})
    overlap, copies, nobody = _count(frame[theirs]), _count(kept[copied]), Count(0, 0)
    if exclude_copies:
        kept = kept[~copied]
    return CorpusPart(
        name=display_name(data),
        rows=np.sort(kept["row"].to_numpy(dtype=np.int64)),
        count=_count(kept),
        overlap=nobody if exclude else overlap,
        excluded=overlap if exclude else nobody,
        copies=nobody if exclude_copies else copies,
        excluded_copies=copies if exclude_copies else nobody,
        shared=shared,
        content=(data.digest, _ids_digest(kept["image_id"])),
        unsealed=data.unsealed,
    )


def _lines(corpus: Corpus) -> list[str]:
    return [_line(part) for part in corpus.parts.values()]


def _line(part: CorpusPart) -> str:
    line = f"{part.name}: {_in_words(part.count)} patients"
    shared = f", who share their ids with patients of {', '.join(part.shared)}"
    for count, what in ((part.excluded, "left out"), (part.overlap, "kept")):
        if count.patients:
            line += f"; {_in_words(count)} validation and test patients {what}"
            line += shared if part.shared else ""
    for count, what in ((part.excluded_copies, "left out"), (part.copies, "kept")):
        if count.patients:
            line += (
                f"; {_in_words(count)} patients with copies of validation and test images {what}"
            )
    return line


def _in_words(count: Count) -> str:
    return f"{count.images:,} images of {count.patients:,}"


def _sampled(patient: pd.Series, name: str, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Whether each image's patient is in the fraction."""
    if fraction == 1:
        return np.ones(len(patient), dtype=np.bool_)
    code_N, patients = pd.factorize(patient)
    place = [stream_seed(seed, "corpus", name, each) / 2**63 for each in patients]
    inside: NDArray[np.bool_] = (np.array(place) < fraction)[code_N]
    return inside


def _count(frame: pd.DataFrame) -> Count:
    return Count(frame["patient_id"].nunique(), len(frame))


def _ids_digest(ids: pd.Series) -> str:
    return hashlib.sha256("\x1f".join(sorted(ids)).encode()).hexdigest()
