"""Ensembles from stored predictions: mean probability or mean logit, and the six of Table 3.

No model is run: an ensemble is a table of predictions, and is evaluated like any other.

Array suffixes: E members, P pathologies, N images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.ensembles.pool import Pool, paired_members
from fairfm_core.evaluation.kernels.recalibration import logit
from fairfm_core.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Combination:
    """The term of a probability that is averaged, and the probability of a mean term."""

    term: Callable[[npt.NDArray[Any]], Floats]
    of_mean: Callable[[Floats], Floats]

    def scores(self, sum_N: Floats, members: int) -> npt.NDArray[np.float32]:
        """The ensemble's probabilities from the sum of its members' terms."""
        return self.of_mean(sum_N / members).astype(np.float32)


def _unchanged(value_N: npt.NDArray[Any]) -> Floats:
    return value_N.astype(np.float64, copy=False)


def _sigmoid(logit_N: Floats) -> Floats:
    probability_N: Floats = 1 / (1 + np.exp(-logit_N))
    return probability_N


COMBINATIONS = {
    "probability": Combination(_unchanged, _unchanged),
    "logit": Combination(logit, _sigmoid),
}
"""By name. The paper does not say which it used; we read it as the mean probability. Probabilities
are clipped to 1e-7 off 0 and 1 before logits are taken."""


def combination_of(combine: str) -> Combination:
    """The combination of that name; raises BadInput for an unknown one."""
    if combine not in COMBINATIONS:
        hint = did_you_mean(combine, COMBINATIONS)
        known = ", ".join(COMBINATIONS)
        raise BadInput(f"unknown combination {combine!r}{hint}; known: {known}")
    return COMBINATIONS[combine]


def combined(
    members: Sequence[Predictions], combine: str, names: Sequence[str] | None = None
) -> Predictions:
    """The ensemble of two or more members: one table, rows in the order of split and image_id.

    Raises BadInput for fewer members, for an unknown combination, and for members with different
    images, labels or groups (named by `names`, or by number). Terms are added in the order given;
    another order of three or more may change the last bit of a score.
    """
    combination_of(combine)
    if len(members) < 2:
        raise BadInput(f"an ensemble needs two or more members; {len(members)} given")
    numbered = [f"member {number}" for number in range(1, len(members) + 1)]
    pool = paired_members(names or numbered, members)
    return ensemble_of(pool, range(len(members)), combine)


def ensemble_of(pool: Pool, places: Sequence[int], combine: str) -> Predictions:
    """The ensemble of some members of a pool; a single one keeps its scores unchanged."""
    if len(places) == 1:
        score_PN = pool.score_EPN[places[0]]
    else:
        combination = combination_of(combine)
        sum_PN = sum(combination.term(pool.score_EPN[place]) for place in places)
        score_PN = combination.scores(np.asarray(sum_PN), len(places))
    columns = {f"p_{p}": score_N for p, score_N in zip(pool.pathologies, score_PN, strict=True)}
    return Predictions(pool.frame.assign(**columns))


@dataclass(frozen=True)
class EnsembleRule:
    """An ensemble defined by what its members have in common."""

    name: str
    where: Mapping[str, tuple[str, ...]]
    """Property of a member -> its allowed values; every property must match."""


PAPER_MODELS: dict[str, dict[str, str]] = {
    name: {"architecture": architecture, "method": method, "domain": domain}
    for name, architecture, method, domain in (
        ("MAE", "vit", "masked", "natural"),
        ("MAE (M)", "vit", "masked", "medical"),
        ("MoCov3", "vit", "contrastive", "natural"),
        ("MoCov3 (M)", "vit", "contrastive", "medical"),
        ("BiT", "resnet", "supervised", "natural"),
        ("REMEDIS", "resnet", "contrastive", "medical"),
    )
}
"""The models of Table 1."""
PAPER_IDS = dict(
    zip(("mae", "mae_med", "mocov3", "mocov3_med", "bit", "remedis"), PAPER_MODELS, strict=True)
)
"""The names in `PAPER_MODELS` by their names in the zoo."""

PAPER_ENSEMBLES = (
    EnsembleRule("ViT (Masked)", {"architecture": ("vit",), "method": ("masked",)}),
    EnsembleRule("ViT (Contrastive)", {"architecture": ("vit",), "method": ("contrastive",)}),
    # BiT is supervised, so the paper's label is inexact: it means both residual networks.
    EnsembleRule("ResNet (Contrastive)", {"architecture": ("resnet",)}),
    EnsembleRule("Natural Imaging", {"domain": ("natural",)}),
    EnsembleRule("Medical Imaging", {"domain": ("medical",)}),
    EnsembleRule("All Foundation Models", {}),
)
"""The rows of Table 3; their members are inferred from its labels."""


def members_of(rule: EnsembleRule, models: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Names of the models that match a rule, in their order.

    Raises BadInput for a property that a model does not have, and for fewer than two members.
    """
    for name, properties in models.items():
        for wanted in rule.where:
            if wanted not in properties:
                hint = did_you_mean(wanted, properties)
                known = ", ".join(properties) or "none"
                raise BadInput(f"model {name!r} has no property {wanted!r}{hint}; it has: {known}")
    members = tuple(
        name
        for name, properties in models.items()
        if all(properties[wanted] in allowed for wanted, allowed in rule.where.items())
    )
    if len(members) < 2:
        raise BadInput(
            f"ensemble {rule.name!r} has {len(members)} of {len(models)} models"
            f" ({', '.join(members) or 'none'}); it needs two or more: widen its rule or add models"
        )
    return members
