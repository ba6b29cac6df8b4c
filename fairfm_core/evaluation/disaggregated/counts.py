"""The table of pathologies x groups: how many cases a cell holds, and why a metric is undefined.

Array suffixes: P pathologies, N images, n some of them, G groups, Q patients, 2 the classes
(negatives first).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fairfm_core.errors import first_ten
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.predictions import SplitImages
from fairfm_core.evaluation.protocols.effective_size import effective_size
from fairfm_core.evaluation.protocols.weighting import Weighting

Reasons = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Labelled images, their patients and the positives of every cell."""

    images_PG: Ints
    patients_PG: Ints
    positives_PG: Ints
    protocol_P: tuple[str | None, ...]
    """Why the protocol has no weights for a pathology; None where it has."""
    min_cases: int
    class_patients_PG2: Ints
    """Patients with images of each class, negatives first."""
    effective_PG2: Floats
    """Effective number of patients of each class, negatives first: (sum of w)^2 / sum of w^2, with
    w the mean weight of a patient's images of the class. Where all count once, the patients."""
    members_G: tuple[int, ...]
    """Images of each group that take part in the protocol, labelled or not."""
    member_patients_G: tuple[int, ...]
    """Their patients."""

    def reasons(self, needs: tuple[str, ...]) -> Reasons:
        """Why a metric that needs these classes is undefined, [P, G]; None where it is not."""
        reason_PG = np.full(self.images_PG.shape, None, dtype=object)
        for p, g in np.ndindex(reason_PG.shape):
            images, positives = int(self.images_PG[p, g]), int(self.positives_PG[p, g])
            few = undefined_reason(images, positives, self.min_cases, needs)
            reason_PG[p, g] = self.protocol_P[p] or few
        return reason_PG


def count_cells(weighting: Weighting, groups: Groups, min_cases: int) -> CellCounts:
    """Counts of every cell; images with a weight are counted once each, however large it is."""
    sample = weighting.images
    shape = (len(sample.pathologies), len(groups.names))
    images, patients, positives = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    class_patients_PG2, effective_PG2 = np.zeros((*shape, 2), np.int64), np.zeros((*shape, 2))
    members = [np.flatnonzero(groups.code_N == g) for g in range(len(groups.names))]
    weights = [weighting.weights_N(p) for p in range(shape[0])]
    for p, g in np.ndindex(shape):
        case_n = members[g][weighting.counted_PN[p, members[g]]]
        images[p, g] = len(case_n)
        patients[p, g] = count_patients(sample, case_n)
        positive_n = sample.label_PN[p, case_n] == 1
        positives[p, g] = np.count_nonzero(positive_n)
        for c, of_class_n in enumerate((case_n[~positive_n], case_n[positive_n])):
            class_patients_PG2[p, g, c] = count_patients(sample, of_class_n)
            weight_n = weights[p][of_class_n]
            effective_PG2[p, g, c] = effective_patients(sample.patient_N[of_class_n], weight_n)
    taking_part = [some_n[weighting.member_N[some_n]] for some_n in members]
    return CellCounts(
        *(images, patients, positives, weighting.undefined_P),
        *(min_cases, class_patients_PG2, effective_PG2),
        tuple(map(len, taking_part)),
        tuple(count_patients(sample, some_n) for some_n in taking_part),
    )


def effective_patients(patient_n: Ints, weight_n: Floats) -> float:
    """Kish's effective number of patients with these images; images of weight 0 do not count."""
    patient_n, weight_n = patient_n[weight_n > 0], weight_n[weight_n > 0]
    _, place_n, images_Q = np.unique(patient_n, return_inverse=True, return_counts=True)
    mean_Q = np.bincount(place_n, weight_n, len(images_Q)) / images_Q
    return effective_size(mean_Q)


def count_patients(sample: SplitImages, case_n: Ints) -> int:
    """Number of distinct patients of some images."""
    seen_Q = np.zeros(len(sample.patient_ids), dtype=np.bool_)
    seen_Q[sample.patient_N[case_n]] = True
    return int(np.count_nonzero(seen_Q))


def undefined_reason(
    images: int, positives: int, min_cases: int, needs: tuple[str, ...]
) -> str | None:
    """Such as `0 positives among 12 images`; None if each class needed has `min_cases` or more."""
    if not images:
        return "0 images"
    cases = {"positives": positives, "negatives": images - positives}
    for name in needs:
        if cases[name] < min_cases:
            least = f" (at least {min_cases} needed)" if min_cases > 1 else ""
            few = f"{cases[name]} {name.removesuffix('s') if cases[name] == 1 else name}"
            return f"{few} among {images} {'image' if images == 1 else 'images'}{least}"
    return None


def named_reasons(pathologies: tuple[str, ...], reason_P: Reasons) -> str | None:
    """Why a mean over pathologies is undefined, naming the pathologies; None where it is not."""
    reasons = zip(pathologies, reason_P, strict=True)
    return first_ten(f"{p}: {why}" for p, why in reasons if why is not None) or None
