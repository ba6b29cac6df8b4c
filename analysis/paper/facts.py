"""What the paper would call a configuration: its network, pre-training, adaptation and sampling.

Read from the stored trial, never from its name: so a cell of a table is answered by whichever study
has trained that model. Pre-training corpora are known by the names of their folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairfm_core.config.methods.losses import CROSS_ENTROPY
from fairfm_core.config.zoo import ZOO

CORPORA = {
    "CX14": ("cx14", "chestx-ray14", "chestxray14", "nih"),
    "CXPT": ("cxpt", "chexpert"),
    "MIMIC": ("mimic", "mimic-cxr", "mimic_cxr"),
    "ImageNet": ("imagenet", "imagenet-1k", "imagenet-21k", "photographs"),
}
"""The paper's short name of a corpus -> names of folders, and of the zoo's records, in small
letters."""
DOMAINS = {"CX14": "medical", "CXPT": "medical", "MIMIC": "medical", "ImageNet": "natural"}
ARCHITECTURES = {"vit": "vit", "deit": "vit", "test_vit": "vit", "resnet": "resnet"}
"""Family of networks by how timm's name begins."""
METHODS = {"mae": "masked", "mocov3": "contrastive"}
"""Family of self-supervised methods; another one is called by its own name."""
FULL_SCHEDULE = 800
"""Epochs of the paper's longest pre-training."""
SCHEDULES = (200, 400, FULL_SCHEDULE)
"""Epochs of the pre-trainings of Table 4."""


@dataclass(frozen=True)
class ModelFacts:
    """What decides which cell of the paper a configuration answers."""

    architecture: str
    """`vit`, `resnet`, or the name of another network."""
    method: str
    """`masked`, `contrastive`, `supervised`, or `none` for random weights."""
    domain: str
    """`natural`, `medical`, `none` for random weights, or `other`."""
    corpora: tuple[str, ...]
    """Short names, sorted; unknown folders by their own names."""
    fraction: float
    """Share of the corpora's patients."""
    epochs: int | None
    """Epochs of its own pre-training; None for published and random weights, and for one on a
    trunk, which is not the paper's schedule."""
    adaptation: str
    """`end_to_end` or `linear_probe`."""
    sampling: str
    balance: str
    """Attributes that a balanced training set is balanced over; empty for `standard`."""
    loss: str

    def schedule(self, longest: int | None) -> int | None:
        """Its epochs on the paper's scale, where the longest of the results are `longest`.

        The paper's 200, 400 and 800 are taken as they are; shorter studies by their share of the
        longest pre-training, which counts as 800.
        """
        if self.epochs is None or longest is None or longest in SCHEDULES:
            return self.epochs
        share = self.epochs * FULL_SCHEDULE / longest
        return round(share)


def facts_of(config: Mapping[str, Any]) -> ModelFacts:
    """The facts of a stored trial from its resolved configuration; missing parts are empty."""
    adaptation, data = _section(config, "adaptation"), _section(config, "data")
    sampling = str(data.get("sampling", "standard"))
    balance = data.get("balance", "race")
    named = balance if isinstance(balance, str) else "+".join(map(str, balance))
    return ModelFacts(
        architecture=_architecture(str(_section(config, "backbone").get("name", ""))),
        **_weights_of(config),
        adaptation=str(adaptation.get("method", "")),
        sampling=sampling,
        balance="" if sampling == "standard" else named,
        loss=_loss_name(adaptation.get("loss")),
    )


def _weights_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Method, domain, corpora, fraction and epochs of the initial weights."""
    before = _section(config, "pretraining")
    if before:
        method = str(before.get("method", ""))
        corpora = _short_names(before.get("corpora") or ())
        return {
            "method": METHODS.get(method, method),
            "domain": _domain(corpora),
            "corpora": corpora,
            "fraction": float(before.get("fraction", 1.0)),
            "epochs": None if before.get("epoch_axis") == "trunk" else before.get("epochs"),
        }
    whole: dict[str, Any] = {"fraction": 1.0, "epochs": None}
    model = ZOO.get(str(_section(config, "weights").get("model")))
    if model is not None:
        corpora = _short_names(model.corpora)
        return whole | {"method": model.method, "domain": model.domain, "corpora": corpora}
    kind = "other" if _section(config, "weights") else "none"
    return whole | {"method": kind, "domain": kind, "corpora": ()}


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


def _architecture(name: str) -> str:
    starts = (family for start, family in ARCHITECTURES.items() if name.startswith(start))
    return next(starts, name)


def _short_names(corpora: Any) -> tuple[str, ...]:
    short = {alias: name for name, aliases in CORPORA.items() for alias in aliases}
    return tuple(sorted(short.get(str(each).lower(), str(each)) for each in corpora))


def _domain(corpora: tuple[str, ...]) -> str:
    domains = {DOMAINS.get(each, "other") for each in corpora}
    return domains.pop() if len(domains) == 1 else "other"


def _loss_name(loss: Any) -> str:
    if isinstance(loss, Mapping):
        return str(loss.get("name"))
    return str(CROSS_ENTROPY.name if loss is None else loss)
