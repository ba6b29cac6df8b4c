"""Units of work as the display and the estimate of time see them.

The time of a piece of work is its amount times a rate, which belongs to its kind: the method, the
network and the device. Amounts are what costs time whatever the hardware: images that pass through
a network, rows that heads are trained on, resampled rows of an evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fairfm_core.config.adaptation import LinearProbe
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.dataset import PreparedData
from fairfm_core.stages import Stage
from sweeps.preflight.resources import stage_method
from sweeps.status.image_passes import image_passes, split_counts

SIZE_FACTOR = 4
"""Between two sizes of work."""
OF_SIZE = ", size "
"""In the name of a kind of work, before the size."""
WORDS = {
    "trunk": ("trunk of", "pre-training"),
    "pretrain": ("pre-train", "pre-training"),
    "weights": ("read weights", "reading weights"),
    "features": ("features", "extracting features"),
    "end_to_end": ("fine-tune", "fine-tuning"),
    "linear_probe": ("probe", "training probes"),
    "evaluate": ("evaluate", "evaluation"),
}
"""What a stage does, by its kind or by its method of adaptation: on a row, and in a sentence."""
COST = {"mae": 1.0, "mocov3": 3.0, "features": 0.4, "end_to_end": 1.0}
"""Rough cost of an image pass by method, relative to each other for the same network."""
ROUGH = {"weights": (2.0, 0.0), "linear_probe": (0.5, 4e-6), "evaluate": (0.3, 1e-6)}
"""Rough seconds, and seconds for each unit, of what needs no network, on one CPU core."""


@dataclass(frozen=True)
class Waits:
    """Jobs that have long waited for resources, and what holds these; by name, see `LiveJob`."""

    asks: Mapping[str, str] = field(default_factory=dict)
    """What each job that waits asks for: `2 workers of 1 CPU`. Empty: nothing waits."""
    free: str = ""
    """What is free of that: `0 of 2 CPU free`."""
    held: Mapping[str, str] = field(default_factory=dict)
    """What each job at work holds of it."""
    others: tuple[str, ...] = ()
    """Who else holds some of it."""


@dataclass(frozen=True)
class LiveJob:
    """What one worker does in one go: a stage, or several probes."""

    stages: tuple[Stage, ...]
    """Those that are not done yet."""
    heads: int = 1
    """Probes that are trained together, finished ones too."""
    rank: int = 0
    """The smallest starts first."""
    demand: Mapping[str, float] = field(default_factory=lambda: {"CPU": 1.0})
    """What it holds in all, of `CPU` and `GPU`."""
    device: str = "1 cpu"

    @property
    def name(self) -> str:
        """The fingerprint of its first stage."""
        return self.stages[0].fingerprint

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Fingerprints of the stages that it waits for."""
        return frozenset(need for stage in self.stages for need in stage.needs)

    @property
    def method(self) -> str:
        """Its kind, or its method of adaptation."""
        return stage_method(self.stages[0])

    @property
    def text(self) -> str:
        """What it does, in a few words."""
        word = WORDS[self.method][0]
        if len(self.stages) > 1:
            return f"{len(self.stages)} {word}s"
        recipe = self.stages[0].config.get("pretraining")
        return f"{word} {recipe['method']}" if recipe else word


@dataclass(frozen=True)
class Work:
    """How much work of which kind a job is."""

    family: str
    """Method, network and device."""
    words: str
    """The kind in a sentence."""
    amount: float
    network: str = ""
    """Network and device; empty for work that needs none."""
    cost: float = 1.0
    """Rough cost of a unit, relative to other methods with the same network."""
    loads: bool = False
    """Whether it loads machine code of its own in each process that has not done it yet."""
    rough: float | None = None
    """Seconds to expect where nothing like it was ever measured; None: nobody knows."""
    fixed: float = 0.0
    """How many of them do not grow with the amount."""

    @property
    def size(self) -> int:
        """The order of magnitude of the amount, in powers of four."""
        return round(math.log(self.amount, SIZE_FACTOR))

    def scaled(self, rate: float, size: int) -> float:
        """The rate to expect where work of the same family and another size has this one.

        What is fixed is most of small work and nothing of large work; both may be slower than
        expected, and by the same factor.
        """
        if self.rough is None:
            return rate
        amount = float(SIZE_FACTOR) ** size
        expected = self.fixed + (self.rough - self.fixed) * amount / self.amount
        return rate * amount / expected * self.rough / self.amount

    @property
    def kind(self) -> str:
        """Family and size: jobs of one kind have one rate, which what begins a job is a part of."""
        return f"{self.family}{OF_SIZE}{self.size}"


def work_of_job(job: LiveJob, data: Iterable[PreparedData]) -> Work:
    """How much work of which kind the job is; `data` are all data sets of its study."""
    stage, method = job.stages[0], job.method
    device = job.device if "GPU" in job.demand else "cpu"
    words = WORDS[method][1]
    if method in ROUGH:
        amount = max(1.0, AMOUNTS[method](job, data))
        fixed, each = ROUGH[method]
        rough = fixed + each * amount
        family, loads = f"{method} {device}", method == "evaluate"
        return Work(family, words, amount, loads=loads, rough=rough, fixed=fixed)
    backbone, recipe = stage.config["backbone"], stage.config.get("pretraining") or {}
    network = f"{backbone['name']} {backbone.get('image_size', '')} px, {device}"
    detail = str(recipe.get("method", method))
    words = f"{words}{' by ' + detail if recipe else ''} of {backbone['name']}"
    amount = float(max(1, image_passes(stage, data)))
    return Work(f"{detail} {network}", words, amount, network, COST.get(detail, 1.0))


def _of_probes(job: LiveJob, data: Iterable[PreparedData]) -> float:
    recipe = LinearProbe.model_validate(job.stages[0].config["adaptation"])
    return float(recipe.epochs * job.heads * split_counts(job.stages[0], data).get("train", 0))


def _of_evaluation(job: LiveJob, data: Iterable[PreparedData]) -> float:
    config, usual = job.stages[0].config, EvaluationSettings.model_fields
    counts = split_counts(job.stages[0], data)
    images = counts.get("val", 0) + counts.get("test", 0)
    replicates = config.get("replicates", usual["replicates"].default)
    attributes = config.get("attributes", usual["attributes"].default)
    return float(images * (1 + replicates) * (1 + len(attributes)))


AMOUNTS: dict[str, Callable[[LiveJob, Iterable[PreparedData]], float]] = {
    "weights": lambda job, data: 1.0,
    "linear_probe": _of_probes,
    "evaluate": _of_evaluation,
}
"""Amounts of work that needs no network, by method."""
