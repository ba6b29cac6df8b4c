"""Every reasonable way to ask which of two models is fairer, and the answer of each.

A specification is a protocol, a definition of the gap, what the gap is of (the AUC, or the rates at
a threshold chosen by one rule: equalised odds) and a policy for uncertain labels. All are computed
from the same predictions, in the same draws of patients.

Source: Simonsohn, Simmons and Nelson, Nature Human Behaviour 4 (2020) 1208 (specification curves);
Simson, Pfisterer and Kern, arXiv 2308.16681 (a multiverse of fairness).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.figures.multiverse.pair import ModelPair, seeds_by_policy
from analysis.paper.answers import PaperAnswers
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.disaggregated.gap_rows import Gap, gaps_of
from fairfm_core.evaluation.disaggregated.split_rows import design_of, metric_frames
from fairfm_core.evaluation.evaluate import split_problem
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns
from fairfm_core.evaluation.selection.comparison import difference_of
from fairfm_core.evaluation.selection.replicates import Replicated, check_paired
from fairfm_core.evaluation.tables import Row

THRESHOLD_RULES = ("fpr=0.2", "sensitivity=0.8", "f1")
"""Rules that are always tried, beside those of the study."""
NO_THRESHOLD = "none"
ODDS = "equalized_odds@"
CHOICES = ("protocol", "definition", "threshold", "labels")
"""What makes a specification, as columns of the rows."""
Named = dict[tuple[str, str, str], Replicated]
"""Gaps by attribute, definition and threshold rule."""


@dataclass(frozen=True, eq=False)
class Multiverse:
    """The answers of all specifications, and which could not be asked."""

    rows: tuple[Row, ...]
    left_out: tuple[str, ...]
    """Protocols that these data do not allow, with the reason."""


def multiverse_of(pair: ModelPair, answers: PaperAnswers, data: str | None) -> Multiverse:
    """The gap of the first model less that of the other, in every specification.

    Raises BadInput for models of different images, and as `seeds_by_policy`.
    """
    rows: list[Row] = []
    left_out: dict[str, None] = {}
    for labels, sides in seeds_by_policy(pair, data):
        for protocol in PROTOCOLS:
            settings = _settings(answers, protocol)
            try:
                gaps = [
                    _gaps(side, source.training_runs, answers.request.split, settings)
                    for side, source in zip(sides, (pair.first, pair.other), strict=True)
                ]
            except BadInput as error:
                left_out[f"protocol {protocol}: {error}"] = None
                continue
            named = {"protocol": protocol, "labels": labels}
            rows += [named | row for row in _differences(gaps, pair, settings.confidence)]
    return Multiverse(tuple(rows), tuple(left_out))


def _settings(answers: PaperAnswers, protocol: str) -> EvaluationSettings:
    points = dict.fromkeys((*answers.settings.operating_points, *THRESHOLD_RULES))
    changes = {"protocols": (protocol,), "metrics": ("auc", "rates")}
    return answers.settings.model_copy(update=changes | {"operating_points": tuple(points)})


def _gaps(
    seeds: Sequence[Predictions],
    training_runs: TrainingRuns | None,
    split: str,
    settings: EvaluationSettings,
) -> Named:
    """The gaps of one model under one protocol, in every draw."""
    problem = split_problem(seeds, split, settings.protocols[0], settings)
    design = design_of(problem.weighting, settings)
    frames = [each for each in metric_frames(problem, design)[1:] if len(each.groups.names) > 1]
    return {
        (frame.groups.attribute, gap.definition, threshold): Replicated(
            *(gap.value_S, gap.replicate_BS, design.pairing, gap.null_BS, training_runs),
            gap.no_p_value,
        )
        for frame in frames
        for gap in gaps_of(frame)
        if (threshold := _threshold(gap)) is not None
    }


def _threshold(gap: Gap) -> str | None:
    """The rule of the threshold that a gap depends on; None for a gap that is no specification."""
    if gap.metric == AUC.name:
        return NO_THRESHOLD
    return gap.metric.removeprefix(ODDS) if gap.metric.startswith(ODDS) else None


def _differences(gaps: Sequence[Named], pair: ModelPair, confidence: float) -> Iterator[Row]:
    first, other = gaps
    for key, number in first.items():
        check_paired(number, other[key], (pair.first.name, pair.other.name))
        found = difference_of(number, other[key], confidence)
        names = ("value_a", "value_b", "difference", "lo", "hi", "null_difference", "p_value")
        yield {
            **dict(zip(("attribute", "definition", "threshold"), key, strict=True)),
            **{name: found[name] for name in names},
            "reason": found["reason"],
        }
