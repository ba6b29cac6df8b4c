"""Every network of a study is built once before anything is trained, without allocating memory."""

from __future__ import annotations

from collections.abc import Sequence

from fairfm_core.config.trial import Trial
from sweeps.status.networks import Network, count_network
from sweeps.status.pretraining_networks import check_pretrainings


def check_networks(trials: Sequence[Trial]) -> None:
    """Build each distinct network, without allocating memory.

    Raises BadInput for one that cannot be built, or that its pre-trained weights do not fill: it
    would be trained from random ones.
    """
    from fairfm_core.models.backbones import check_network
    from fairfm_core.models.checkpoints.stage import check_weights

    for trial in _distinct(trials):
        check_network(trial.backbone, trial.adaptation)
    check_pretrainings(trials)
    loads = {
        (t.weights.model_dump_json(), t.backbone.model_dump_json(), t.adaptation.pool): t
        for t in trials
        if t.weights is not None
    }
    for trial in loads.values():
        assert trial.weights is not None
        method, pool = trial.adaptation.method, trial.adaptation.pool
        check_weights(trial.weights, trial.backbone, method, pool)


def count_parameters(trials: Sequence[Trial]) -> tuple[Network, ...]:
    """Parameters and memory of each distinct network; raises BadInput as `check_networks` does."""
    check_networks(trials)
    return tuple(dict.fromkeys(count_network(trial) for trial in _distinct(trials)))


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """One trial for each backbone and recipe."""
    keys = ((t.backbone.model_dump_json(), t.adaptation.model_dump_json()) for t in trials)
    return list(dict(zip(keys, trials, strict=True)).values())
