"""Every number that the paper prints, as data: Tables 2 to 6 of Khan et al. (ML4H 2023).

In points (AUC x 100). The paper reports no interval, no repetition and no seed, and does not say
which of the two definitions of a gap it used. The heights of the bars of Figures 1 to 6 are not
printed. A row and an arm are named as in `items.py`; a table without arms has the arm "".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

AUC, SEX, RACE = "auc", "sex", "race"
"""Columns: the mean AUC, and the fairness gap of an attribute."""


@dataclass(frozen=True)
class PublishedNumber:
    """One cell of a table of the paper."""

    item: str
    """`table2` ... `table6`."""
    row: str
    arm: str
    column: str
    """`auc`, or the attribute of a gap."""
    text: str
    """As printed, with its decimals."""
    inferred: bool = False
    """Whether the paper prints it elsewhere, so that it is only probably this cell's."""

    @property
    def points(self) -> float:
        """The number in points."""
        return float(self.text)

    @property
    def value(self) -> float:
        """The number as a fraction, as ours are."""
        return self.points / 100


def _rows(item: str, *rows: tuple[str, str, str, str, str]) -> tuple[PublishedNumber, ...]:
    return tuple(
        PublishedNumber(item, row, arm, column, text)
        for row, arm, *texts in rows
        for column, text in zip((AUC, SEX, RACE), texts, strict=True)
    )


NUMBERS = (
    *_rows(
        "table2",
        ("CX14", "", "79.97", "1.58", "3.09"),
        ("CXPT", "", "80.98", "1.49", "2.85"),
        ("CX14+CXPT", "", "81.38", "1.29", "2.82"),
    ),
    *_rows(
        "table3",
        ("ViT (Masked)", "", "81.0", "1.21", "2.82"),
        ("ViT (Contrastive)", "", "80.3", "1.13", "2.90"),
        ("ResNet (Contrastive)", "", "81.6", "1.15", "2.95"),
        ("Natural Imaging", "", "80.4", "0.78", "2.94"),
        ("Medical Imaging", "", "81.6", "1.39", "3.12"),
        ("All Foundation Models", "", "81.4", "1.12", "2.84"),
    ),
    *_rows(
        "table4",
        ("200 epochs", "", "79.2", "1.54", "3.56"),
        ("400 epochs", "", "79.9", "1.44", "3.11"),
        ("800 epochs", "", "79.9", "1.43", "3.03"),
    ),
    *_rows(
        "table5",
        ("30 %", "", "80.6", "1.53", "2.86"),
        ("100 %", "", "81.0", "1.49", "2.85"),
    ),
    *_rows(
        "table6",
        ("MoCo v3", "linear probe", "71.9", "1.56", "3.66"),
        ("MoCo v3", "fine-tuned", "78.7", "1.08", "3.00"),
        ("MAE", "linear probe", "66.7", "2.59", "3.00"),
        ("MAE", "fine-tuned", "79.3", "0.92", "2.77"),
    ),
)
"""As printed, in the order of the tables."""

_TO_FIGURE = {
    ("MoCo v3", "fine-tuned"): ("contrastive", "natural"),
    ("MAE", "fine-tuned"): ("masked", "natural"),
}
"""Cells of Table 6 that are probably bars of Figure 1: the same models, fine-tuned."""

INFERRED = tuple(
    replace(each, item="figure1", row=bar[0], arm=bar[1], inferred=True)
    for each in NUMBERS
    if each.item == "table6" and (bar := _TO_FIGURE.get((each.row, each.arm))) is not None
)
"""Numbers of Figure 1 that only Table 6 prints."""

_BY_CELL = {(e.item, e.row, e.arm, e.column): e for e in (*NUMBERS, *INFERRED)}


def published(item: str, row: str, arm: str, column: str) -> PublishedNumber | None:
    """What the paper reports of a cell; None where it prints nothing."""
    return _BY_CELL.get((item, row, arm, column))
