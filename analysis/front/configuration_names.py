"""Each configuration in words: `MAE pre-trained on natural images (photographs), linear probe`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.results.results import Configuration, StudyResults
from analysis.wording import listed, short_axis
from fairfm_core.config.zoo import MODELS

METHODS = {"mae": "MAE", "mocov3": "MoCo v3"}
"""Self-supervised methods as their papers write them; others keep their name in the study."""
ADAPTATIONS = {"linear_probe": "linear probe", "end_to_end": "fine-tuned end to end"}
TITLES = {model.id: model.title for model in MODELS}
VALUES = frozenset(["adaptation", "backbone", "data"])
"""What a resolved trial holds; older records may lack it."""
PLAIN = "bce"
"""The loss of a trial that names none."""
INCLUDE = "include"
"""Axis of a configuration that the study adds by its name."""
COVERED = frozenset(
    [
        *("weights", "weights.pretraining", "weights.pretraining.corpora", "adaptation"),
        *("backbone", "backbone.name", "data.sampling", "data.balance", INCLUDE),
    ]
)
"""Axes of which the words of a configuration's values speak."""
WEIGHTS, ADAPTATION, SAMPLING, LOSS, BACKBONE = "weights", "adaptation", "sampling", "loss", "net"


@dataclass(frozen=True)
class Parts:
    """The parts of a configuration's name by what they speak of, in the order of the name."""

    label: str
    texts: Mapping[str, str]


def configuration_names(results: StudyResults) -> dict[str, str]:
    """The words for each configuration of a study, by its label."""
    stored = {trial.name: trial.config for trial in results.stored.trials}
    return names_of([(each, stored[each.trials[0].name]) for each in results.configurations])


def names_of(
    configurations: Sequence[tuple[Configuration, Mapping[str, Any]]],
) -> dict[str, str]:
    """The words for configurations with their resolved trials, by label.

    What all of them share is left out. Those with the same words get their labels added, so that no
    two have one name. Trials without values, as older records have them, are named by their axes.
    """
    parts = [_parts(each, config) for each, config in configurations]
    shared = _shared(parts)
    words = {each.label: _joined(each, shared) for each in parts}
    often = Counter(words.values())
    return {
        label: name if often[name] == 1 else f"{name} [{label}]" for label, name in words.items()
    }


def _shared(parts: Sequence[Parts]) -> frozenset[str]:
    """What every configuration has the same of; nothing where there is only one."""
    if len(parts) < 2:
        return frozenset()
    keys = {key for each in parts for key in each.texts}
    return frozenset(key for key in keys if len({each.texts.get(key) for each in parts}) == 1)


def _joined(parts: Parts, shared: Iterable[str]) -> str:
    text = ", ".join(text for key, text in parts.texts.items() if key not in shared)
    return text[:1].upper() + text[1:] if text else parts.label


def _parts(configuration: Configuration, config: Mapping[str, Any]) -> Parts:
    axes = configuration.axes
    texts = _of_values(axes, config) if config.keys() >= VALUES else {}
    covered = COVERED if texts else {INCLUDE}
    others = {axis: f"{short_axis(axis)} {axes[axis]}" for axis in axes if axis not in covered}
    chosen = {name: f"{short_axis(name)} {c}" for name, c in configuration.parameters.items()}
    return Parts(configuration.label, {**texts, **others, **chosen})


def _of_values(axes: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """What a resolved trial says of its network, weights, adaptation, sampling and loss."""
    adaptation, data = config["adaptation"], config["data"]
    method, loss = adaptation["method"], _loss(adaptation.get("loss"))
    return {
        BACKBONE: str(config["backbone"]["name"]),
        WEIGHTS: _weights(axes, config),
        ADAPTATION: ADAPTATIONS.get(method, str(method)),
        SAMPLING: _sampling(data),
        LOSS: "plain loss" if loss == PLAIN else f"{loss} loss",
    }


def _loss(given: Any) -> str:
    """The name of a loss, which older records may hold alone, without its parameters."""
    return str(given.get("name", PLAIN)) if isinstance(given, Mapping) else str(given or PLAIN)


def _weights(axes: Mapping[str, str], config: Mapping[str, Any]) -> str:
    recipe, weights = config.get("pretraining"), config.get("weights")
    if recipe:
        method = METHODS.get(recipe["method"], str(recipe["method"]))
        return f"{method} pre-trained on {_corpora(axes, recipe['corpora'])}"
    if isinstance(weights, Mapping):
        model = str(weights["model"])
        return f"{TITLES.get(model, model)}, published weights"
    return "trained from scratch"


def _corpora(axes: Mapping[str, str], corpora: Sequence[str]) -> str:
    """The study's own word for the images, then their names."""
    names = listed(list(map(str, corpora)))
    label = axes.get("weights.pretraining.corpora")
    return names if label in (None, names, *corpora) else f"{label} images ({names})"


def _sampling(data: Mapping[str, Any]) -> str:
    sampling, balance = str(data.get("sampling", "standard")), data.get("balance")
    if sampling == "standard" or not balance:
        return f"{sampling} sampling"
    by = listed([balance] if isinstance(balance, str) else list(map(str, balance)))
    return f"{sampling} by {by}"
