"""Every metric of the groups of an attribute in permutations in which each unit is in one group.

All groups come from one pass. Array suffixes as in `values.py`; R permutations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fairfm_core.evaluation.auc import Floats
from fairfm_core.evaluation.cases import Cases, Summed
from fairfm_core.evaluation.lanes import Block, blocks_of
from fairfm_core.evaluation.member_scan import Procession, member_scan, procession
from fairfm_core.evaluation.member_sums import member_sums
from fairfm_core.evaluation.metrics import AUC, AUPRC, Metric
from fairfm_core.evaluation.sample import Sample
from fairfm_core.evaluation.weighting import Permuted


def member_values(
    sample: Sample, cases: Sequence[Cases], permuted: Permuted, metrics: Sequence[Metric]
) -> dict[str, Floats]:
    """The metrics by name, [R, S, P, G]; NaN for pathologies without cases.

    Cases are those of the permuted units, or of the bootstrap: nothing is sorted or computed again.
    """
    groups = len(permuted.groups.names)
    shape = (len(permuted.code_BU), *sample.score_SPN.shape[:2], groups)
    found = {metric.name: np.full(shape, np.nan) for metric in metrics}
    summed = [each.summed for each in cases if each.summed is not None]
    seen = {each: procession(each, permuted.unit_N) for each in cases}
    start = 0
    for block in blocks_of(permuted.code_BU):
        rows = slice(start, start + block.used)
        start = rows.stop
        sums = member_sums(summed, permuted.unit_N, block, groups)
        for each in cases:
            pathology = sample.pathologies[each.p]
            defined = [metric for metric in metrics if metric.only in (None, pathology)]
            for name, value_LG in _values(each, seen[each], block, groups, sums, defined):
                found[name][rows, each.s, each.p] = value_LG
    return found


def _values(
    cases: Cases,
    seen: Procession,
    block: Block,
    groups: int,
    sums: dict[Summed, Floats],
    metrics: Sequence[Metric],
) -> Iterator[tuple[str, Floats]]:
    """Every metric of one pathology in a block, [L, G]."""
    auc_LG, auprc_LG = member_scan(seen, block, groups, precise=AUPRC in metrics)
    yield AUC.name, auc_LG
    if auprc_LG is not None:
        yield AUPRC.name, auprc_LG
    if cases.summed is not None:
        for metric in metrics:
            if metric.of is not None:
                columns = cases.summed.columns.everybody
                named = columns.sums_of(sums[cases.summed], 0, metric.point)
                yield metric.name, metric.of(named)
