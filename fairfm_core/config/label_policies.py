"""Label policies: what a trial makes of a label that a report mentions as uncertain.

    u_zeros    absent: Glocker's and most of the field's choice, the default
    u_ones     present
    u_ignore   unknown: no loss, and left out of that label's AUC

A label that is null without such a mention is unknown under every policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fairfm_core.errors import BadInput, did_you_mean

Policy = Literal["u_zeros", "u_ones", "u_ignore"]
POLICIES: tuple[Policy, ...] = ("u_zeros", "u_ones", "u_ignore")
DEFAULT: Policy = "u_zeros"
PRESETS: dict[str, dict[str, Policy]] = {
    # Medical MAE's code on its five labels: these two present, the other three absent.
    "mixed5": {"Atelectasis": "u_ones", "Edema": "u_ones"},
}
Labels = Literal["u_zeros", "u_ones", "u_ignore", "mixed5"] | dict[str, Policy]


def check_labels(given: Any) -> Any:
    """`given` unless it is no policy, preset or mapping of pathologies to policies: BadInput."""
    known = (*POLICIES, *PRESETS)
    if not isinstance(given, dict):
        if given not in known:
            raise BadInput(
                f"{given!r} is no label policy{did_you_mean(str(given), known)}; allowed are "
                f"{', '.join(known)}, or a mapping of pathologies to {', '.join(POLICIES)}"
            )
        return given
    for name, policy in given.items():
        if policy not in POLICIES:
            raise BadInput(
                f"{policy!r} is no label policy for {name}{did_you_mean(str(policy), POLICIES)}; "
                f"allowed are {', '.join(POLICIES)}"
            )
    return given


def policies_of(
    labels: Labels, pathologies: Sequence[str], known: Sequence[str]
) -> dict[str, Policy]:
    """The policy of each of `pathologies` that is not the default, so that equals look equal.

    Args:
        labels: as a trial gives it.
        pathologies: what the trial predicts.
        known: every pathology of the cohort.

    Raises:
        BadInput: a mapping names a pathology that the cohort lacks.
    """
    if isinstance(labels, dict):
        for name in sorted(labels.keys() - set(known)):
            raise BadInput(
                f"data.labels names the pathology {name!r}{did_you_mean(name, known)}; the data "
                f"set has {', '.join(known)}"
            )
    by_name = PRESETS.get(labels, {}) if isinstance(labels, str) else labels
    rest: Policy = labels if labels in POLICIES else DEFAULT
    policies = {name: by_name.get(name, rest) for name in pathologies}
    return {name: policy for name, policy in policies.items() if policy != DEFAULT}
