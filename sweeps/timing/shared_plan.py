"""The plans of several studies together: each distinct stage once, and what that saves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from fairfm_core.stages import Stage, joined_trunks
from sweeps.status.status import StudyStatus
from sweeps.timing.operations import GPU
from sweeps.timing.sharing import NOTHING, Sharing, WorkAmount, amount_of, sharing_of

MOST_SHARED = 12
"""Trials of other studies that are listed; more are counted."""
MORE_OF_A_SEARCH = "what its search may still ask for is not counted (the plan of this study alone)"


@dataclass(frozen=True, eq=False)
class SharedPlan:
    """Several studies against one results folder."""

    studies: tuple[StudyStatus, ...]

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Distinct stages of all studies by fingerprint."""
        return joined_trunks({f: s for study in self.studies for f, s in study.plan.stages.items()})

    @cached_property
    def amounts(self) -> dict[str, WorkAmount]:
        """The work of each distinct stage, by fingerprint."""
        return {f: self._amount(stage) for f, stage in self.stages.items()}

    @cached_property
    def missing(self) -> dict[str, Stage]:
        """Distinct stages that are still to be run."""
        return {f: stage for study in self.studies for f, stage in study.missing.items()}

    @property
    def once(self) -> WorkAmount:
        """Each distinct stage once."""
        return self._sum(self.stages.values())

    @property
    def each_study(self) -> WorkAmount:
        """Each study on its own, nothing twice within one: what a careful person runs."""
        return sum((self._sum(study.plan.stages.values()) for study in self.studies), NOTHING)

    @property
    def each_row(self) -> WorkAmount:
        """Each row's own pipeline, from its pre-training on, with its seeds."""
        return self.sharing.alone

    @cached_property
    def sharing(self) -> Sharing:
        """What rows save; seeds of one row share what comes before the adaptation anyway."""
        rows: dict[tuple[str, str], dict[str, Stage]] = defaultdict(dict)
        for study in self.studies:
            for trial in study.plan.trials:
                row = rows[study.plan.spec.study, trial.group]
                row |= {stage.fingerprint: stage for stage in trial.stages}
        return sharing_of([list(row.values()) for row in rows.values()], self.stages, self._amount)

    @cached_property
    def shared(self) -> list[str]:
        """Trials that do the same work as one of an earlier study."""
        first: dict[str, str] = {}
        lines = []
        for study in self.studies:
            for trial in study.plan.trials:
                name = f"{study.plan.spec.study} {trial.name}"
                earlier = first.setdefault(trial.adapt.fingerprint, name)
                if earlier != name:
                    lines.append(f"{name} is {earlier}")
        return lines

    def text(self) -> str:
        """Studies, distinct stages by kind, cost, and the two ratios."""
        trials = sum(len(study.plan.trials) for study in self.studies)
        distinct = len({t.adapt.fingerprint for s in self.studies for t in s.plan.trials})
        lines = [f"{len(self.studies)} studies: {trials} trials, {distinct} of them distinct"]
        for study in self.studies:
            done = sum(trial.is_done(study.done) for trial in study.plan.trials)
            more = "" if study.plan.spec.search is None else f"; {MORE_OF_A_SEARCH}"
            counts = f"{len(study.plan.trials)} trials, {done} done{more}"
            lines.append(f"  {study.plan.spec.study}: {counts}")
        lines += self._shared_lines()
        lines.append("distinct stages (kind: all, done, to run, image passes, GPU-hours to run):")
        lines += [f"  {line}" for line in self._stage_lines()]
        lines += self._cost_lines()
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """What the text says, as JSON values."""
        amounts = {
            "once": self.once,
            "each_study": self.each_study,
            "each_row": self.each_row,
            "to_run": self._sum(self.missing.values()),
        }
        return {
            "studies": [study.plan.spec.study for study in self.studies],
            "stages": {kind: len(stages) for kind, stages in self._by_kind().items()},
            "shared": self.shared,
            "amounts": {
                name: {"image_passes": each.passes, "gpu_hours": each.hours}
                for name, each in amounts.items()
            },
            "savings": [asdict(each) for each in self.sharing.savings],
            "ratio_rows": self.each_row.over(self.once),
            "ratio_studies": self.each_study.over(self.once),
        }

    def _shared_lines(self) -> list[str]:
        if not self.shared:
            return []
        rest = len(self.shared) - MOST_SHARED
        more = [f"  ... {rest} more (all: --json)"] if rest > 0 else []
        return ["run once:", *(f"  {line}" for line in self.shared[:MOST_SHARED]), *more]

    def _stage_lines(self) -> list[str]:
        lines = []
        for kind, stages in self._by_kind().items():
            left = [f for f in stages if f in self.missing]
            amount = self._sum(self.missing[f] for f in left)
            lines.append(
                f"{kind}: {len(stages)}, {len(stages) - len(left)}, {len(left)},"
                f" {amount.passes:,.0f}, {amount.hours:.3g}"
            )
        return lines

    def _cost_lines(self) -> list[str]:
        once, left = self.once, self._sum(self.missing.values())
        ways = {
            "one pipeline for each row, with its seeds": self.each_row,
            "each study on its own, nothing twice within it": self.each_study,
        }
        lines = [
            f"GPU-hours: {left.hours:.3g} to run, {once.hours:.3g} in all, at most; by operations"
            f" on {GPU}, not measured",
            "every distinct stage is run once, whichever study asks for it; compared with that:",
        ]
        for how, amount in ways.items():
            ratio = amount.over(once)
            times = "nothing to compare" if ratio is None else f"{ratio:.2f} times the GPU-hours"
            lines.append(f"  {how}: {times} ({amount.hours:.3g})")
        savings = [f"  {each.text()}" for each in self.sharing.savings]
        return [*lines, *(["of one pipeline for each row:", *savings] if savings else [])]

    def _by_kind(self) -> dict[str, list[str]]:
        kinds: dict[str, list[str]] = defaultdict(list)
        for fingerprint, stage in self.stages.items():
            kinds[stage.kind].append(fingerprint)
        return dict(kinds)

    def _sum(self, stages: Iterable[Stage]) -> WorkAmount:
        return sum(map(self._amount, stages), NOTHING)

    def _amount(self, stage: Stage) -> WorkAmount:
        return amount_of(self._study_of[stage.fingerprint], stage)

    @cached_property
    def _study_of(self) -> dict[str, StudyStatus]:
        """A study that has each stage, by fingerprint."""
        return {f: study for study in reversed(self.studies) for f in study.plan.stages}
