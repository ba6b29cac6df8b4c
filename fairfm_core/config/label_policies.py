"""Label policies: how a trial reads a label that a report mentions as uncertain.

    u_zeros    absent: the default, as in Glocker et al. and most of the field
    u_ones     present
    u_ignore   unknown: no loss, and excluded from that label's AUC

A label that is null for any other reason is unknown under every policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fairfm_core.errors import BadInput, did_you_mean

Policy = Literal["u_zeros", "u_ones", "u_ignore"]
POLICIES: tuple[Policy, ...] = ("u_zeros", "u_ones", "u_ignore")
DEFAULT: Policy = "u_zeros"
NAMED_SETS: dict[str, dict[str, Policy]] = {
    # Medical MAE's code for its five labels: these two present, the other three absent.
    "mixed5": {"Atelectasis": "u_ones", "Edema": "u_ones"},
}
Labels = Literal["u_zeros", "u_ones", "u_ignore", "mixed5"] | dict[str, Policy]


def check_labels(given: Any) -> Any:
    """`given` unchanged.

    Raises BadInput unless it is a policy, a named set or a mapping of pathologies to policies.
    """
    known = (*POLICIES, *NAMED_SETS)
    if not isinstance(given, dict):
        if given not in known:
            raise BadInput(
                f"{given!r} is not a label policy{did_you_mean(str(given), known)}; allowed are "
                f"{', '.join(known)}, or a mapping of pathologies to {', '.join(POLICIES)}"
            )
        return given
    for name, policy in given.items():
        if policy not in POLICIES:
            raise BadInput(
                f"{policy!r} is not a label policy for {name}"
                f"{did_you_mean(str(policy), POLICIES)}; allowed are {', '.join(POLICIES)}"
            )
    return given


def policies_of(
    labels: Labels, pathologies: Sequence[str], known: Sequence[str]
) -> dict[str, Policy]:
    """The policies other than the default, by pathology, so that equal choices look equal.

    Args:
        labels: the trial's setting.
        pathologies: those that the trial predicts.
        known: all pathologies of the cohort.

    Raises:
        BadInput: a mapping names a pathology that the cohort does not have.
    """
    if isinstance(labels, dict):
        for name in sorted(labels.keys() - set(known)):
            raise BadInput(
                f"data.labels names the pathology {name!r}{did_you_mean(name, known)}; the data "
                f"set has {', '.join(known)}"
            )
    by_name = NAMED_SETS.get(labels, {}) if isinstance(labels, str) else labels
    rest: Policy = labels if labels in POLICIES else DEFAULT
    policies = {name: by_name.get(name, rest) for name in pathologies}
    return {name: policy for name, policy in policies.items() if policy != DEFAULT}
