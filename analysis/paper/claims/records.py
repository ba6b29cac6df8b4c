"""The ten claims of the paper, each as differences whose sign it asserts.

A difference is between two models in one number, between two groups in one model, or the slope of a
table. `sign` is what the claim asserts: above 0, below 0, or no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from analysis.paper.items import (
    BALANCED,
    FINE_TUNED,
    MODELS,
    PROBED,
    SIX,
    TABLE2,
    TABLE3,
    TABLE4,
    TABLE5,
    PaperItem,
    Wanted,
    WantedModel,
    fine_tuned,
)
from analysis.paper.published import AUC, RACE, SEX

ABOVE, BELOW, NONE = 1, -1, 0
PAIRS = (("MAE (M)", "MAE"), ("MoCov3 (M)", "MoCov3"), ("REMEDIS", "BiT"))
"""Medical and natural models of one architecture and method."""
GROUP_WANTED = {"F": SEX, "M": SEX, "White": RACE, "Asian": RACE, "Black": RACE}


@dataclass(frozen=True)
class ModelContrast:
    """One number of two models: `first` minus `other`."""

    text: str
    first: Wanted
    other: Wanted
    column: str
    """`auc`, or the attribute of a gap."""
    sign: int


@dataclass(frozen=True)
class SlopeContrast:
    """The slope of a number over the rows of a table, or the difference of its two rows."""

    text: str
    item: PaperItem
    column: str
    sign: int


@dataclass(frozen=True)
class GroupContrast:
    """The AUC of two groups in one model; `reference` may be `overall`."""

    text: str
    model: WantedModel
    group: str
    reference: str
    pathology: str
    sign: int

    @property
    def attribute(self) -> str:
        """The attribute of the group."""
        return GROUP_WANTED[self.group]


Contrast = ModelContrast | SlopeContrast | GroupContrast


@dataclass(frozen=True)
class PaperClaim:
    """A sentence of the paper, and all that it asserts."""

    number: int
    statement: str
    contrasts: tuple[Contrast, ...]


def _between(
    pairs: Iterable[tuple[str, str]], columns: Iterable[str], sign: int
) -> Iterator[ModelContrast]:
    """Fine-tuned models of Table 1."""
    columns = tuple(columns)
    for first, other in pairs:
        for column in columns:
            text = f"{first} − {other}"
            yield ModelContrast(text, fine_tuned(first), fine_tuned(other), column, sign)


def _balanced(
    pairs: Iterable[tuple[str, str]], columns: Iterable[str], sign: int
) -> Iterator[ModelContrast]:
    columns = tuple(columns)
    for first, other in pairs:
        a, b = (WantedModel({**MODELS[name], **BALANCED}) for name in (first, other))
        for column in columns:
            yield ModelContrast(f"balanced: {first} − {other}", a, b, column, sign)


def _slopes(column: str, sign: int) -> Iterator[SlopeContrast]:
    names = {"more data": TABLE2, "more epochs": TABLE4, "100 % − 30 %": TABLE5}
    return (SlopeContrast(text, item, column, sign) for text, item in names.items())


def _groups(
    models: Iterable[str], group: str, reference: str, sign: int, pathology: str = "mean"
) -> Iterator[GroupContrast]:
    where = "" if pathology == "mean" else f", {pathology}"
    less = "everybody" if reference == "overall" else reference
    for name in models:
        text = f"{name}{where}: {group} − {less}"
        yield GroupContrast(text, fine_tuned(name), group, reference, pathology, sign)


def _adapted(sign: int, *columns: str) -> Iterator[ModelContrast]:
    for name in ("MoCov3", "MAE"):
        tuned, probed = (WantedModel({**MODELS[name], **how}) for how in (FINE_TUNED, PROBED))
        for column in columns:
            text = f"{name}: fine-tuned − linear probe"
            yield ModelContrast(text, tuned, probed, column, sign)


def _ensembles(first: str, other: str, column: str, sign: int) -> ModelContrast:
    named = {cell.row: cell.wanted for cell in TABLE3.cells}
    return ModelContrast(f"{first} − {other}", named[first], named[other], column, sign)


_VITS = PAIRS[:2]
_SCRATCH = [
    *((name, "scratch") for name in ("MAE", "MAE (M)", "MoCov3", "MoCov3 (M)")),
    *((name, "scratch ResNet") for name in ("BiT", "REMEDIS")),
]
NATURAL, MEDICAL, ALL = "Natural Imaging", "Medical Imaging", "All Foundation Models"

CLAIMS = (
    PaperClaim(
        1,
        "Any pre-training beats scratch in AUC, and medical pre-training beats natural.",
        (*_between(_SCRATCH, [AUC], ABOVE), *_between(PAIRS, [AUC], ABOVE)),
    ),
    PaperClaim(
        2,
        "Natural pre-training is fairer than medical, by sex and by race, in every pair.",
        tuple(_between(PAIRS, [SEX, RACE], ABOVE)),
    ),
    PaperClaim(
        3,
        "Medical masked pre-training is less fair by race than scratch; medical contrastive is"
        " fairer than medical masked; of natural models the masked one is fairer.",
        (
            *_between([("MAE (M)", "scratch")], [RACE], ABOVE),
            *_between([("MoCov3 (M)", "MAE (M)")], [SEX, RACE], BELOW),
            *_between([("MAE", "MoCov3")], [SEX, RACE], BELOW),
        ),
    ),
    PaperClaim(
        4,
        "Masked pre-training has the higher AUC than contrastive, in both domains.",
        tuple(_between([("MAE", "MoCov3"), ("MAE (M)", "MoCov3 (M)")], [AUC], ABOVE)),
    ),
    PaperClaim(
        5,
        "More data, more epochs and a larger share of CheXpert raise the AUC and lower the gaps.",
        (*_slopes(AUC, ABOVE), *_slopes(SEX, BELOW), *_slopes(RACE, BELOW)),
    ),
    PaperClaim(
        6,
        "Fine-tuned on as many images of each race, every pre-trained model is fairer by race than"
        " scratch, natural models are still fairer than medical ones, and the medical ViTs tie by"
        " sex.",
        (
            *_balanced(_SCRATCH[:4], [RACE], BELOW),
            *_balanced(_VITS, [SEX, RACE], ABOVE),
            *_balanced([("MAE (M)", "MoCov3 (M)")], [SEX], NONE),
        ),
    ),
    PaperClaim(
        7,
        "All six models are worse for female patients, except for Pleural Effusion (that the"
        " difference is least for Edema is shown in Figure 5, not tested).",
        (
            *_groups(SIX, "F", "M", BELOW),
            *_groups(SIX, "F", "M", NONE, "Pleural Effusion"),
        ),
    ),
    PaperClaim(
        8,
        "Medical models favour White and Asian patients, natural models Black patients.",
        (
            *_groups([medical for medical, _ in PAIRS], "White", "overall", ABOVE),
            *_groups([medical for medical, _ in PAIRS], "Asian", "overall", ABOVE),
            *_groups([natural for _, natural in PAIRS], "Black", "overall", ABOVE),
        ),
    ),
    PaperClaim(
        9,
        "Fine-tuning beats a linear probe in AUC and in both gaps.",
        (*_adapted(ABOVE, AUC), *_adapted(BELOW, SEX, RACE)),
    ),
    PaperClaim(
        10,
        "Of the ensembles the medical one has the best AUC, the natural one the smallest sex gap,"
        " and all six together are a balance.",
        (
            _ensembles(MEDICAL, NATURAL, AUC, ABOVE),
            _ensembles(MEDICAL, ALL, AUC, ABOVE),
            _ensembles(NATURAL, MEDICAL, SEX, BELOW),
            _ensembles(NATURAL, ALL, SEX, BELOW),
            _ensembles(ALL, NATURAL, AUC, ABOVE),
            _ensembles(ALL, MEDICAL, SEX, BELOW),
        ),
    ),
)
"""In the order of the paper."""
