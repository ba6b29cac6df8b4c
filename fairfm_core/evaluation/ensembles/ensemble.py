"""Ensembles from stored predictions: mean probability or mean logit, and the six of Table 3.

Nothing is run again: an ensemble is a table of predictions like any other, so it is evaluated like
any other. Array suffixes: E members, P pathologies, N images.
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
from fairfm_core.evaluation.kernels.recalibration import logits
from fairfm_core.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Combination:
    """What of a member's probabilities is averaged, and how the mean becomes a probability."""

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
    "logit": Combination(logits, _sigmoid),
}
"""By name. The paper does not say which it used; the mean probability is our reading. Logits are
those of probabilities kept 1e-7 off 0 and 1."""


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
    """The ensemble of two members or more: one table, rows in the order of split and image_id.

    Raises BadInput for fewer members, an unknown combination, and members of other images, labels
    or groups (by `names` or number). Terms are added in the order given; another order of three or
    more may change the last bit of a score.
    """
    combination_of(combine)
    if len(members) < 2:
        raise BadInput(f"an ensemble needs two members or more; {len(members)} given")
    numbered = [f"member {number}" for number in range(1, len(members) + 1)]
    pool = paired_members(names or numbered, members)
    return ensemble_of(pool, range(len(members)), combine)


def ensemble_of(pool: Pool, places: Sequence[int], combine: str) -> Predictions:
    """The ensemble of some of a pool's members; one alone keeps its scores as they are."""
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
    """An ensemble by what its members have in common."""

    name: str
    where: Mapping[str, tuple[str, ...]]
    """Property of a member -> its allowed values; all must hold."""


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
"""The same by short names, those of the zoo."""

PAPER_ENSEMBLES = (
    EnsembleRule("ViT (Masked)", {"architecture": ("vit",), "method": ("masked",)}),
    EnsembleRule("ViT (Contrastive)", {"architecture": ("vit",), "method": ("contrastive",)}),
    # BiT is supervised, so the paper's label is loose: both residual networks are meant.
    EnsembleRule("ResNet (Contrastive)", {"architecture": ("resnet",)}),
    EnsembleRule("Natural Imaging", {"domain": ("natural",)}),
    EnsembleRule("Medical Imaging", {"domain": ("medical",)}),
    EnsembleRule("All Foundation Models", {}),
)
"""The rows of Table 3; their members are inferred from its labels."""


def members_of(rule: EnsembleRule, models: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Names of the models that a rule takes in, in their order.

    Raises BadInput for a property that a model does not have, and for fewer than two members.
    """
    for name, properties in models.items():
        for wanted in rule.where:
            if wanted not in properties:
                hint = did_you_mean(wanted, properties)
                known = ", ".join(properties) or "none"
                raise BadInput(f"model {name!r} has no property {wanted!r}{hint}; it has: {known}")
    found = tuple(
        name
        for name, properties in models.items()
        if all(properties[wanted] in allowed for wanted, allowed in rule.where.items())
    )
    if len(found) < 2:
        raise BadInput(
            f"ensemble {rule.name!r} takes in {len(found)} of {len(models)} models"
            f" ({', '.join(found) or 'none'}); it needs two or more: widen its rule or add models"
        )
    return found
