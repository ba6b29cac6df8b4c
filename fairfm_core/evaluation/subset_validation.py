"""The validation images of a pool, ready for the search over its subsets, or why there is none.

A group that lacks a class has no AUC, whichever subset scores it: that is said before the search.
Array suffixes: N images of the split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fairfm_core.config import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.cells import undefined_reason
from fairfm_core.evaluation.ensemble import Combination
from fairfm_core.evaluation.ensemble_pool import Pool
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.subset_cases import Labelled, labelled, slots_of

SPLIT = "val"
PROTOCOL = "full"
"""Every image counts once."""


def validation_cases(
    pool: Pool, combination: Combination, settings: EvaluationSettings
) -> tuple[list[Groups], list[Labelled]]:
    """Everybody and each attribute's groups; the labelled validation images of each pathology.

    Raises BadInput as `search_subsets`.
    """
    _check_split(pool, settings)
    inside_N = (pool.frame["split"] == SPLIT).to_numpy(dtype=bool)
    val = pool.frame[inside_N]
    attributes = [everybody(len(val)), *_groups(val, pool.frame, settings)]
    slots = slots_of(attributes)
    cases = [
        labelled(
            slots,
            val[f"y_{name}"].to_numpy(np.float32),
            pool.score_EPN[:, p, inside_N],
            combination,
        )
        for p, name in enumerate(pool.pathologies)
    ]
    for name, each in zip(pool.pathologies, cases, strict=True):
        _check_classes(name, each, attributes, settings.min_cases)
    return attributes, cases


def _check_split(pool: Pool, settings: EvaluationSettings) -> None:
    if settings.protocols[0] != PROTOCOL:
        raise BadInput(
            f"ensembles are searched under the protocol {PROTOCOL!r}, not"
            f" {settings.protocols[0]!r}; name it first"
        )
    if SPLIT not in pool.splits:
        raise BadInput(
            f"ensembles are chosen on validation, and the members have no rows of split {SPLIT!r}"
            f" (they have {', '.join(pool.splits)}): give their validation predictions too"
        )


def _groups(
    val: pd.DataFrame, everywhere: pd.DataFrame, settings: EvaluationSettings
) -> list[Groups]:
    """Groups of all splits, as `evaluate` has them: one that validation lacks is not left out."""
    found = [
        groups_of(val, attribute, settings.age_edges, everywhere)
        for attribute in settings.attributes
    ]
    for groups in found:
        if len(groups.names) < 2:
            have = f"one group only, {groups.names[0]}" if groups.names else "no group"
            raise BadInput(
                f"attribute {groups.attribute!r} has {have}, so it has no gap: leave it out"
            )
    return found


def _check_classes(
    pathology: str, cases: Labelled, attributes: Sequence[Groups], min_cases: int
) -> None:
    """Raise BadInput for the first group whose AUC of the pathology is undefined."""
    named = [(groups.attribute, name) for groups in attributes for name in groups.names]
    counts = zip(named, cases.negative_S.tolist(), cases.positive_S.tolist(), strict=True)
    for (attribute, group), negatives, positives in counts:
        why = undefined_reason(negatives + positives, positives, min_cases, AUC.needs)
        if why:
            raise BadInput(
                f"the AUC of {pathology} in {attribute}={group} is undefined on {SPLIT} ({why}),"
                " and so is the mean of every ensemble: leave the pathology or the attribute out"
            )
