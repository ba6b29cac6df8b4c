"""A trial of a plan: its stages, what identifies it, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property

from analysis.results.study_record import configuration_label
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.resolving import SCRATCH
from fairfm_core.config.trial import Trial
from fairfm_core.stages import PRETRAIN, Stage
from sweeps.planning.records import TrialRecord, search_record
from sweeps.search.asked import AskedConfiguration
from sweeps.search.halving import Rung


@dataclass(frozen=True)
class SmallerTraining:
    """A trial's training at a rung: on fewer patients, or smaller images."""

    trial: Trial
    stages: tuple[Stage, ...]
    """Up to the training, whose history holds the values that decide."""

    @property
    def adapt(self) -> Stage:
        """The training."""
        return self.stages[-1]


@dataclass(frozen=True)
class PlannedTrial:
    """A trial and the stages that lead to its evaluation."""

    name: str
    axes: dict[str, str]
    trial: Trial
    stages: tuple[Stage, ...]
    pretraining_seed: int | None = None
    """Which repetition of its pre-training it starts from; None where the study repeats none."""
    first_pretraining: Pretraining | None = None
    """Its pre-training at the first of the study's seeds of pre-trainings. Another seed also draws
    other patients, where `fraction` is below 1, and so has another digest."""
    asked: AskedConfiguration | None = None
    """The configuration of a search that it belongs to; None for a cell of the matrix."""
    smaller: Mapping[Rung, SmallerTraining] = field(default_factory=dict)
    """Its training at each rung of a search, where each is one of its own."""

    @property
    def round(self) -> int:
        """The round of the search that asked for it; 0 for a cell of the matrix."""
        if self.asked is None:
            return 0
        return dict(zip(self.asked.seeds, self.asked.rounds, strict=True))[self.trial.seed]

    @property
    def adapt(self) -> Stage:
        """The stage that ends in predictions; its fingerprint is the trial's identity."""
        return next(stage for stage in self.stages if stage.kind == "adapt")

    @property
    def evaluate(self) -> Stage:
        """The last stage."""
        return self.stages[-1]

    def is_done(self, done: Set[str]) -> bool:
        """Whether predictions and evaluation are among the finished stages."""
        return {self.adapt.fingerprint, self.evaluate.fingerprint} <= done

    @cached_property
    def record(self) -> TrialRecord:
        """What the results folder records of the trial; holds no path of this machine."""
        config = self.trial.without_places().model_dump(mode="json")
        if self.trial.weights is None and self.trial.pretraining is None:
            config["weights"] = SCRATCH
        return TrialRecord(
            name=self.name,
            axes=self.axes,
            seed=self.trial.seed,
            group=self.group,
            weights=self._fingerprint_of("weights") or self.pretraining,
            features=self._fingerprint_of("features"),
            adapt=self.adapt.fingerprint,
            evaluate=self.evaluate.fingerprint,
            digest=self.adapt.digest,
            config=config,
            pretraining_seed=self.pretraining_seed,
            search=None if self.asked is None else search_record(self.asked, self.trial.seed),
            smaller=tuple(each.adapt.fingerprint for each in self.smaller.values()),
        )

    @property
    def pretraining(self) -> str | None:
        """The fingerprint of its pre-training, if it has one."""
        return self._fingerprint_of(PRETRAIN)

    @property
    def label(self) -> str:
        """The name of its configuration."""
        return configuration_label(self.name, self.trial.seed, self.pretraining_seed)

    @cached_property
    def group(self) -> str:
        """Identity of the configuration: the same trial at any seed, of both levels."""
        trial = self.trial
        if self.first_pretraining is not None:
            trial = trial.model_copy(update={"pretraining": self.first_pretraining})
        content = trial.content()
        content.pop("seed", None)
        content["data"].pop("dataset")
        for name in ("file", "heads", "model"):
            content.get("weights", {}).pop(name, None)
        content.get("pretraining", {}).pop("corpora", None)
        if "age_edges" in self.adapt.config:
            content["data"]["age_edges"] = self.adapt.config["age_edges"]
        return fingerprint([content, self.adapt.digest])

    def _fingerprint_of(self, kind: str) -> str | None:
        return next((stage.fingerprint for stage in self.stages if stage.kind == kind), None)
