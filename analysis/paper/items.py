"""The paper's tables and the bars of its figures as records: which model answers which cell.

A cell is answered by facts of a model (`facts.py`), so it does not matter which study has trained
it. Planned comparisons are part of a record: they are tested together with each row against the
best, and corrected together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import log2

from analysis.paper.facts import FULL_SCHEDULE, ModelFacts
from fairfm_core.evaluation.ensembles.ensemble import PAPER_ENSEMBLES, EnsembleRule

CellKey = tuple[str, str]
"""Row and arm."""
IMAGES = {"CX14": 112_120, "CXPT": 191_027}
"""Images of a corpus in the paper: ChestX-ray14, and CheXpert's frontal ones."""


@dataclass(frozen=True)
class WantedModel:
    """A configuration, by what is true of it; facts that are not named do not matter."""

    where: Mapping[str, object]

    def is_met_by(self, facts: ModelFacts, longest: int | None) -> bool:
        """Whether a configuration is the model; `longest` as in `ModelFacts.schedule`."""
        held = {"schedule": facts.schedule(longest)}
        return all(
            wanted == (held[name] if name in held else getattr(facts, name))
            for name, wanted in self.where.items()
        )


@dataclass(frozen=True)
class WantedEnsemble:
    """The mean probability of the paper's models that match a rule."""

    rule: EnsembleRule


@dataclass(frozen=True)
class WantedFile:
    """A model that stands beside the paper's, from predictions that its user names."""

    name: str


Wanted = WantedModel | WantedEnsemble | WantedFile
"""What may answer a cell."""


@dataclass(frozen=True)
class PaperCell:
    """One row, or one arm of a row, and what answers it."""

    row: str
    arm: str
    wanted: Wanted

    @property
    def is_beside(self) -> bool:
        """Whether it is no row of the paper's."""
        return isinstance(self.wanted, WantedFile)

    @property
    def key(self) -> CellKey:
        """Row and arm."""
        return self.row, self.arm


@dataclass(frozen=True)
class PlannedPair:
    """A comparison that the table is made for: `first` minus `other`."""

    first: CellKey
    other: CellKey


@dataclass(frozen=True)
class PlannedTrend:
    """A slope over the rows: points per doubling of a quantity."""

    what: str
    amounts: Mapping[str, float]
    """By row; the slope is per doubling of them."""

    def weights(self) -> dict[str, float]:
        """Coefficient of each row in the least-squares slope over log2 of the amounts."""
        logs = {row: log2(amount) for row, amount in self.amounts.items()}
        mean = sum(logs.values()) / len(logs)
        square = sum((each - mean) ** 2 for each in logs.values())
        return {row: (each - mean) / square for row, each in logs.items()}


@dataclass(frozen=True)
class PaperItem:
    """A table, or the bars of a figure."""

    name: str
    title: str
    cells: tuple[PaperCell, ...]
    studies: tuple[str, ...]
    """Studies whose trials answer it."""
    pairs: tuple[PlannedPair, ...] = ()
    trend: PlannedTrend | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def scheduled(self) -> bool:
        """Whether its models differ by the epochs of their pre-training, or must agree in them."""
        wanted = (cell.wanted for cell in self.cells)
        return any(isinstance(w, WantedModel) and "schedule" in w.where for w in wanted)

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows in the paper's order."""
        return tuple(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms; a single empty one where the rows have none."""
        return tuple(dict.fromkeys(cell.arm for cell in self.cells))


FINE_TUNED = {"adaptation": "end_to_end", "sampling": "standard", "loss": "bce"}
BALANCED = {**FINE_TUNED, "sampling": "balanced", "balance": "race"}
PROBED = {**FINE_TUNED, "adaptation": "linear_probe"}


def own_mae(
    *corpora: str, epochs: int = FULL_SCHEDULE, fraction: float = 1.0
) -> Mapping[str, object]:
    """A ViT with MAE's pre-training on these corpora, fine-tuned."""
    return {
        "architecture": "vit",
        "method": "masked",
        "corpora": tuple(sorted(corpora)),
        "schedule": epochs,
        "fraction": fraction,
        **FINE_TUNED,
    }


MODELS: dict[str, Mapping[str, object]] = {
    "scratch": {"architecture": "vit", "method": "none"},
    "MAE": {"architecture": "vit", "method": "masked", "domain": "natural", "fraction": 1.0},
    "MAE (M)": {
        "architecture": "vit",
        "method": "masked",
        "corpora": ("CX14", "CXPT", "MIMIC"),
        "fraction": 1.0,
    },
    "MoCov3": {
        "architecture": "vit",
        "method": "contrastive",
        "domain": "natural",
        "fraction": 1.0,
    },
    "MoCov3 (M)": {
        "architecture": "vit",
        "method": "contrastive",
        "corpora": ("CX14", "CXPT"),
        "fraction": 1.0,
    },
    "scratch ResNet": {"architecture": "resnet", "method": "none"},
    "BiT": {"architecture": "resnet", "domain": "natural", "fraction": 1.0},
    "REMEDIS": {"architecture": "resnet", "domain": "medical", "fraction": 1.0},
}
"""The models of Table 1 and the two from scratch, whatever they are adapted by."""
SIX = ("MAE", "MAE (M)", "MoCov3", "MoCov3 (M)", "BiT", "REMEDIS")
"""The foundation models of Figures 3, 5 and 6 and of Table 3."""


def fine_tuned(model: str) -> WantedModel:
    """A model of Table 1, fine-tuned end to end on all training images."""
    return WantedModel({**MODELS[model], **FINE_TUNED})


def _cells(rows: Mapping[str, Mapping[str, object]]) -> tuple[PaperCell, ...]:
    return tuple(PaperCell(row, "", WantedModel(where)) for row, where in rows.items())


def _neighbours(*rows: str) -> tuple[PlannedPair, ...]:
    """Each row minus the one before it."""
    return tuple(PlannedPair((row, ""), (before, "")) for before, row in pairwise(rows))


TABLE2 = PaperItem(
    "table2",
    "Table 2: data of MAE's pre-training",
    _cells(
        {"CX14": own_mae("CX14"), "CXPT": own_mae("CXPT"), "CX14+CXPT": own_mae("CX14", "CXPT")}
    ),
    ("paper_table2",),
    _neighbours("CX14", "CXPT", "CX14+CXPT"),
    PlannedTrend(
        "images of the corpus (the paper's)",
        {**IMAGES, "CX14+CXPT": sum(IMAGES.values())},
    ),
)
TABLE3 = PaperItem(
    "table3",
    "Table 3: ensembles of the six foundation models",
    tuple(PaperCell(rule.name, "", WantedEnsemble(rule)) for rule in PAPER_ENSEMBLES),
    ("paper_figure1", "paper_figure4"),
    notes=(
        "Members are inferred from the paper's labels; an ensemble is the mean probability of its"
        " members, seed by seed. BiT is supervised, so the paper's label `contrastive` is inexact.",
    ),
)
TABLE4 = PaperItem(
    "table4",
    "Table 4: epochs of MAE's pre-training",
    _cells({f"{epochs} epochs": own_mae("CX14", epochs=epochs) for epochs in (200, 400, 800)}),
    ("paper_table4",),
    _neighbours("200 epochs", "400 epochs", "800 epochs"),
    PlannedTrend("epochs", {f"{epochs} epochs": epochs for epochs in (200, 400, 800)}),
    (
        "The paper does not say on which data; its row of 800 epochs equals no row of its Table 2."
        " Here they are CX14.",
    ),
)
TABLE5 = PaperItem(
    "table5",
    "Table 5: share of CheXpert in MAE's pre-training",
    _cells({"30 %": own_mae("CXPT", fraction=0.3), "100 %": own_mae("CXPT")}),
    ("paper_table5",),
    _neighbours("30 %", "100 %"),
    notes=("100 % is CXPT of Table 2: the same model.",),
)
_SIX_ROWS = {"MoCo v3": "MoCov3", "MAE": "MAE"}
_ARMS = {"linear probe": PROBED, "fine-tuned": FINE_TUNED}
TABLE6 = PaperItem(
    "table6",
    "Table 6: linear probe and fine-tuning, natural pre-training",
    tuple(
        PaperCell(row, arm, WantedModel({**MODELS[model], **how}))
        for row, model in _SIX_ROWS.items()
        for arm, how in _ARMS.items()
    ),
    ("paper_table6",),
    tuple(PlannedPair((row, "fine-tuned"), (row, "linear probe")) for row in _SIX_ROWS),
)
TABLES = {each.name: each for each in (TABLE2, TABLE3, TABLE4, TABLE5, TABLE6)}
"""The paper's tables of numbers."""

CLUSTERS = {
    "contrastive": {"scratch": "scratch", "natural": "MoCov3", "medical": "MoCov3 (M)"},
    "masked": {"scratch": "scratch", "natural": "MAE", "medical": "MAE (M)"},
}
"""Bars of Figures 1 and 2: method -> domain -> model."""
RESIDUAL = {"residual": {"scratch": "scratch ResNet", "natural": "BiT", "medical": "REMEDIS"}}
"""Bars of Figure 4."""


def _bars(
    clusters: Mapping[str, Mapping[str, str]], how: Mapping[str, object]
) -> tuple[PaperCell, ...]:
    return tuple(
        PaperCell(cluster, domain, WantedModel({**MODELS[model], **how}))
        for cluster, bars in clusters.items()
        for domain, model in bars.items()
    )


FIGURE1 = PaperItem(
    "figure1",
    "Figure 1: ViT models, fine-tuned on all training images",
    _bars(CLUSTERS, FINE_TUNED),
    ("paper_figure1",),
)
FIGURE2 = PaperItem(
    "figure2",
    "Figure 2: ViT models, fine-tuned on as many images of each race",
    _bars(CLUSTERS, BALANCED),
    ("paper_figure2",),
    notes=("Fewer training images: levels are not comparable with those of Figure 1.",),
)
FIGURE4 = PaperItem(
    "figure4",
    "Figure 4: residual networks, fine-tuned on all training images",
    _bars(RESIDUAL, FINE_TUNED),
    ("paper_figure4",),
)
BAR_FIGURES = {each.name: each for each in (FIGURE1, FIGURE2, FIGURE4)}
"""Figures whose bars are models."""
