"""Pre-training corpora: images of one or more prepared data sets, drawn and cleaned by patient.

Patients of the evaluation's validation and test splits leave the corpus unless they are asked to
stay (`patients.py`); otherwise labels, groups and splits play no part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.data.corpora.patients import by_source, called, judged
from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.errors import BadInput
from fairfm_core.seeding import stream_seed


def open_corpora(folders: Sequence[str]) -> dict[str, PreparedData]:
    """Prepared data sets by the name of their source; raises BadInput where two have the same."""
    return by_source(open_dataset(folder) for folder in folders)


Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Count:
    """Patients and their images."""

    patients: int
    images: int


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a corpus takes of one data set.

    Attributes:
        called: what its user knows it by: the name of its folder, and its kind.
        rows: of its image store, ascending.
        count: what is in the corpus.
        overlap: what of the corpus belongs to patients of the evaluation; zero where these were
            left out.
        excluded: what was left out for that reason.
        shared: data sets of the evaluation that are of another source, where patients count as
            theirs because they have the same ids.
        content: identity of the images: the data set's digest and that of their ids.
    """

    called: str
    rows: Rows
    count: Count
    overlap: Count
    excluded: Count
    shared: tuple[str, ...]
    content: tuple[str, str]


@dataclass(frozen=True, eq=False)
class Corpus:
    """What a model is pre-trained on.

    Attributes:
        parts: by the data sets' names, in the order of their content. A training numbers the images
            in this order and draws by number, so no order in which a study names them may enter.
        digest: identity of the images by content: data sets' digests and image ids, no names.
    """

    parts: Mapping[str, Drawn]
    digest: str

    @property
    def images(self) -> int:
        """Number of images."""
        return sum(part.count.images for part in self.parts.values())

    @property
    def patients(self) -> int:
        """Number of patients; those of different data sets are counted as different people."""
        return sum(part.count.patients for part in self.parts.values())


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
    and the share of patients is `fraction` up to chance. No order of rows or data sets decides
    who is in it.

    Args:
        datasets: prepared data sets by name, each of a source of its own; all their images, of any
            split.
        evaluation: data sets by name whose validation and test patients models are judged on.
        fraction: share of patients, above 0 and up to 1.
        seed: of the fraction; 1.0 does not depend on it.
        exclude_eval_patients: whether patients of the evaluation leave the corpus.

    Raises:
        BadInput: no data set, two of one source, a fraction out of range, or nothing left.
    """
    if not datasets:
        raise BadInput("a corpus needs at least one prepared data set; none was given")
    if not 0 < fraction <= 1:
        raise BadInput(f"fraction {fraction:g} of a corpus: expected above 0 and up to 1")
    by_source(datasets.values())
    drawn = {}
    for name, data in datasets.items():
        inside = data.frame[_sampled(data.frame["patient_id"], name, fraction, seed)]
        drawn[name] = _drawn(data, inside, evaluation, exclude_eval_patients)
    parts = dict(sorted(drawn.items(), key=lambda item: item[1].content))
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
    """The corpus in lines: images and patients of each data set, and who else is judged on."""
    return "\n".join(_lines(corpus))


def _drawn(
    data: PreparedData, frame: pd.DataFrame, evaluation: Mapping[str, PreparedData], exclude: bool
) -> Drawn:
    """What the corpus takes of the sampled rows `frame` of a data set."""
    theirs, shared = judged(data, frame["patient_id"], evaluation)
    kept = frame[~theirs] if exclude else frame
    known, nobody = _count(frame[theirs]), Count(0, 0)
    return Drawn(
        called=called(data),
        rows=np.sort(kept["row"].to_numpy(dtype=np.int64)),
        count=_count(kept),
        overlap=nobody if exclude else known,
        excluded=known if exclude else nobody,
        shared=shared,
        content=(data.digest, _ids_digest(kept["image_id"])),
    )


def _lines(corpus: Corpus) -> list[str]:
    return [_line(part) for part in corpus.parts.values()]


def _line(part: Drawn) -> str:
    line = f"{part.called}: {_in_words(part.count)} patients"
    shared = f", who share their ids with patients of {', '.join(part.shared)}"
    for count, what in ((part.excluded, "left out"), (part.overlap, "kept")):
        if count.patients:
            line += f"; {_in_words(count)} validation and test patients {what}"
            line += shared if part.shared else ""
    return line


def _in_words(count: Count) -> str:
    return f"{count.images:,} images of {count.patients:,}"


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
