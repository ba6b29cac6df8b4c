"""What an evaluation of one model shows, ordered for a reader: page, report and figures share it.

Everything is of one split (test, if it is given) and of the first protocol, but for the gaps, which
are of every protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from analysis.results.numbers import Number
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.tables import Evaluation

WORST = "worst_group_"
OVERALL = "overall"
MEAN = "mean"
DEFINITION = "gap_of_mean"
"""The definition of the gaps shown; the files hold both."""


@dataclass(frozen=True)
class SplitSize:
    """How many images and patients a split has."""

    split: str
    images: int
    patients: int

    @property
    def text(self) -> str:
        """`1,200 images of 600 patients`."""
        images = "1 image" if self.images == 1 else f"{self.images:,} images"
        patients = "1 patient" if self.patients == 1 else f"{self.patients:,} patients"
        return f"{images} of {patients}"


@dataclass(frozen=True)
class Group:
    """One group of an attribute."""

    attribute: str
    name: str
    auc: Number
    """Mean AUC over pathologies."""
    rates: dict[str, Number]
    """Mean over pathologies of other metrics, by metric."""
    difference: Number | None
    """The AUC's difference from everybody's; None if it was not computed."""
    rank: int
    """Place within the attribute, 0 for the group with the lowest AUC."""
    combined: bool
    """Whether it is of several attributes together."""


@dataclass(frozen=True)
class AucCell:
    """One pathology in one group, with the difference of its AUC from everybody's."""

    auc: Number
    difference: Number | None

    @property
    def tested(self) -> bool:
        """Whether there are patients enough to tell its difference from noise: it has a p-value."""
        return self.difference is not None and self.difference["p_value"] is not None


@dataclass(frozen=True)
class Pathology:
    """One pathology: its number of positives, its AUC, and the cells of all groups."""

    name: str
    auc: Number
    cells: tuple[AucCell, ...]
    """Lowest difference from everybody first; undefined cells last."""

    @property
    def worst(self) -> AucCell | None:
        """The cell farthest below everybody; one with patients enough, if there is any."""
        return next(iter(_ranked_cells(self.cells)), None)


@dataclass(frozen=True, eq=False)
class ModelFindings:
    """The numbers of one model for a reader."""

    evaluation: Evaluation
    settings: EvaluationSettings
    sizes: tuple[SplitSize, ...]
    columns: tuple[str, ...]
    """The attributes that are columns; others are combinations of them."""

    @cached_property
    def split(self) -> str:
        """The split shown: test, or the last one that is given."""
        return str(self.evaluation.metrics["split"].iloc[-1])

    @property
    def protocol(self) -> str:
        """The protocol shown."""
        return str(self.evaluation.protocol)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that were evaluated."""
        names = dict.fromkeys(self.evaluation.metrics["metric"])
        return tuple(name for name in names if not name.startswith(WORST))

    @cached_property
    def everybody(self) -> dict[str, Number]:
        """Each metric over all images, mean over pathologies; some are of one pathology alone."""
        rows = [row for row in self._rows if row["attribute"] == OVERALL]
        single = {row["metric"]: row for row in rows if row["pathology"] != MEAN}
        return single | {row["metric"]: row for row in rows if row["pathology"] == MEAN}

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The groups of each attribute, the lowest AUC first and undefined ones last."""
        means = [
            row
            for row in self._rows
            if row["pathology"] == MEAN
            and row["attribute"] != OVERALL
            and not row["metric"].startswith(WORST)
        ]
        by_group: dict[tuple[str, str], dict[str, Number]] = {}
        for row in means:
            by_group.setdefault((row["attribute"], row["group"]), {})[row["metric"]] = row
        return tuple(
            group
            for attribute in self.settings.attributes
            for group in self._ranked(attribute, by_group)
        )

    def _ranked(
        self, attribute: str, by_group: dict[tuple[str, str], dict[str, Number]]
    ) -> Iterator[Group]:
        own = {group: rows for (of, group), rows in by_group.items() if of == attribute}
        combined = attribute not in self.columns
        ranked = sorted(own, key=lambda group: _ascending(own[group]["auc"]["value"]))
        for rank, group in enumerate(ranked):
            difference = self._differences.get((MEAN, attribute, group))
            yield Group(attribute, group, own[group]["auc"], own[group], difference, rank, combined)

    @cached_property
    def gaps(self) -> tuple[Number, ...]:
        """The gaps of the first definition: the AUC's first, then those of every other metric."""
        rows = _records(self.evaluation.gaps)
        of_split = [
            row for row in rows if row["split"] == self.split and row["definition"] == DEFINITION
        ]
        order = list(dict.fromkeys(["auc", *(row["metric"] for row in of_split)]))
        protocols = list(dict.fromkeys(row["protocol"] for row in of_split))
        return tuple(
            sorted(
                of_split,
                key=lambda row: (order.index(row["metric"]), protocols.index(row["protocol"])),
            )
        )

    @cached_property
    def pathologies(self) -> tuple[Pathology, ...]:
        """Every pathology, the lowest AUC first."""
        cells: dict[str, list[AucCell]] = {}
        whole: dict[str, Number] = {}
        for row in self._rows:
            if row["metric"] != "auc" or row["pathology"] == MEAN:
                continue
            if row["attribute"] == OVERALL:
                whole[row["pathology"]] = row
                continue
            key = row["pathology"], row["attribute"], row["group"]
            cells.setdefault(row["pathology"], []).append(AucCell(row, self._differences.get(key)))
        found = [
            Pathology(name, auc, tuple(sorted(cells.get(name, []), key=_worst_first)))
            for name, auc in whole.items()
        ]
        return tuple(sorted(found, key=lambda each: _ascending(each.auc["value"])))

    def rows_of(self, pathology: str) -> dict[tuple[str, str], dict[str, Number]]:
        """Every metric of one pathology, by (attribute, group) and metric; everybody first."""
        rows: dict[tuple[str, str], dict[str, Number]] = {}
        for row in self._rows:
            if row["pathology"] == pathology:
                rows.setdefault((row["attribute"], row["group"]), {})[row["metric"]] = row
        return rows

    @cached_property
    def worst_cells(self) -> tuple[AucCell, ...]:
        """The cells with patients enough, the lowest difference from everybody's AUC first.

        All defined cells where none has a p-value, as without draws.
        """
        return _ranked_cells([cell for each in self.pathologies for cell in each.cells])

    @cached_property
    def small_cells(self) -> int:
        """Number of defined cells with too few patients to be ranked."""
        cells = [cell for each in self.pathologies for cell in each.cells]
        return sum(cell.auc["value"] is not None for cell in cells) - len(self.worst_cells)

    @cached_property
    def undefined_cells(self) -> tuple[Number, ...]:
        """Cells without an AUC, those of everybody included, each once."""
        return tuple(
            row
            for row in self._rows
            if row["metric"] == "auc" and row["pathology"] != MEAN and row["value"] is None
        )

    @cached_property
    def without_threshold(self) -> dict[str, str]:
        """Operating points that have no threshold for any pathology, and why."""
        table = self.evaluation.thresholds
        missing = table.groupby("point", sort=False)["threshold"].apply(lambda t: t.isna().all())
        points = [str(point) for point, none in missing.items() if none]
        return {point: str(table[table["point"] == point]["reason"].iloc[0]) for point in points}

    @cached_property
    def thinned(self) -> int:
        """Number of AUCs whose interval rests on fewer draws, as some had no image of a class."""
        return sum(
            "replicates undefined" in (row["reason"] or "")
            for row in self._rows
            if row["metric"] == "auc"
        )

    @cached_property
    def _rows(self) -> list[Number]:
        frame = self.evaluation.metrics
        shown = (frame["split"] == self.split) & (frame["protocol"] == self.protocol)
        return _records(frame[shown])

    @cached_property
    def _differences(self) -> dict[tuple[str, str, str], Number]:
        """Differences of AUCs from everybody's, by pathology, attribute and group."""
        frame = self.evaluation.differences
        shown = (frame["split"] == self.split) & (frame["protocol"] == self.protocol)
        shown &= (frame["metric"] == "auc") & (frame["reference"] == OVERALL)
        return {
            (row["pathology"], row["attribute"], row["group"]): row
            for row in _records(frame[shown])
        }


def findings_of(
    evaluation: Evaluation, settings: EvaluationSettings, predictions: Predictions
) -> ModelFindings:
    """The findings of one model with the sizes of its splits."""
    by_split = predictions.frame.groupby("split", sort=False)["patient_id"].agg(["size", "nunique"])
    sizes = [
        SplitSize(split, int(by_split["size"][split]), int(by_split["nunique"][split]))
        for split in SPLITS
        if split in by_split.index
    ]
    return ModelFindings(evaluation, settings, tuple(sizes), predictions.attributes)


def by_reason(cells: Iterable[Number]) -> dict[str, list[Number]]:
    """Cells by the reason that they share."""
    reasons: dict[str, list[Number]] = {}
    for cell in cells:
        reasons.setdefault(str(cell["reason"]), []).append(cell)
    return reasons


def attributes_of(groups: Sequence[Group]) -> list[str]:
    """The attributes of groups, each once."""
    return list(dict.fromkeys(group.attribute for group in groups))


def _records(frame: pd.DataFrame) -> list[Number]:
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _ascending(value: float | None) -> float:
    return float("inf") if value is None else value


def _ranked_cells(cells: Sequence[AucCell]) -> tuple[AucCell, ...]:
    defined = [cell for cell in cells if cell.auc["value"] is not None]
    tested = [cell for cell in defined if cell.tested]
    return tuple(sorted(tested or defined, key=_worst_first))


def _worst_first(cell: AucCell) -> tuple[float, float]:
    value = None if cell.difference is None else cell.difference["value"]
    return _ascending(value), _ascending(cell.auc["value"])
