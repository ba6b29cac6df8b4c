"""Completes a trial with the zoo's and the recipe's values, which it may override.

Identity depends on what a name stands for and never on the name, so this precedes validation.
"""

from __future__ import annotations

from typing import Any

from fairfm_core.config.backbone import HEADS, with_heads
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.recipes import OFFICIAL, Start, adaptation_values, pretraining_values
from fairfm_core.config.zoo import (
    OWN,
    ZOO,
    FoundationModel,
    foundation_model,
    is_transformer,
    user_model,
)
from fairfm_core.errors import BadInput, did_you_mean

SCRATCH = "scratch"
OWN_NETWORK = {"name", "options", "image_size", "channels"}
"""What a user may set of the network in a file; the rest is set under `backbone`."""


def resolve_trial(values: Any) -> Any:
    """Raw values with weights, backbone and adaptation spelt out; raises BadInput.

    `weights` may be `scratch`, an id of the zoo, a mapping of the fields of `PublishedWeights`, or
    a mapping of `pretraining` alone. Values that the trial gives take precedence over what the zoo
    knows of a model: its network and normalisation and, in the paper's recipe, epochs, batch and
    layer decay.
    """
    if not isinstance(values, dict):
        return values
    values, pretraining = _pretraining(values)
    record, weights = _weights(values)
    resolved = {**values, "weights": weights, "backbone": _backbone(values, record, weights)}
    if not weights:
        _refuse_tag(resolved["backbone"])
    if isinstance(values.get("adaptation"), dict):
        backbone = _mapping(resolved["backbone"], "backbone")
        blocks = record.blockwise_decay if record else is_transformer(str(backbone.get("name")))
        start = Start(
            model=record,
            transformer=blocks,
            pretrained=pretraining is not None or bool(weights),
            pretraining=pretraining,
        )
        resolved["adaptation"] = adaptation_values(values["adaptation"], start)
    return resolved


def _pretraining(values: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The values with `weights: {pretraining: ...}` under its own key, and its method if any."""
    given = values.get("weights")
    if not isinstance(given, dict) or "pretraining" not in given:
        return values, _method(values.get("pretraining"))
    if further := sorted(set(given) - {"pretraining"}):
        raise BadInput(f"weights.pretraining cannot be combined with {further[0]}; remove it")
    values = {key: value for key, value in values.items() if key != "weights"}
    raw = _mapping(given["pretraining"], "weights.pretraining")
    return {**values, "pretraining": pretraining_values(raw)}, _method(raw)


def _method(pretraining: Any) -> str | None:
    """The method of raw or validated settings; None where there are none."""
    if pretraining is None:
        return None
    if isinstance(pretraining, Pretraining):
        return pretraining.method
    return str(_mapping(pretraining, "pretraining").get("method"))


def _weights(values: dict[str, Any]) -> tuple[FoundationModel | None, Any]:
    """The record of the model, from the zoo or of the user's file, and the weights to load."""
    given = values.get("weights")
    if given is None or given == SCRATCH:
        return None, None
    if isinstance(given, str):
        return _of_zoo(given, {})
    if not isinstance(given, dict):
        return None, given
    model = given.get("model")
    if isinstance(model, str) and model in ZOO:
        return _of_zoo(model, given)
    return _of_user(given, values.get("backbone"))


def _of_zoo(name: str, given: dict[str, Any]) -> tuple[FoundationModel, Any]:
    if name not in ZOO:
        known = [SCRATCH, *ZOO]
        raise BadInput(
            f"weights {name!r} are not known{did_you_mean(name, known)}; known: {', '.join(known)}"
        )
    record = foundation_model(name)
    if record.format is None:
        if further := sorted(set(given) - {"model"}):
            raise BadInput(f"weights {name} are random: {further[0]} does not apply; remove it")
        return record, None
    if not given.get("file") and not record.bundled:
        raise BadInput(
            f"weights {name} need a file: weights: {{model: {name}, file: PATH}}; "
            f"get it from {record.source}"
        )
    if given.get("heads", record.heads) != record.heads:
        has = record.heads or "no"
        raise BadInput(f"weights {name} have {has} attention heads; leave weights.heads out")
    network = record.network().content() | _network(given)
    return record, {**given, "model": name, "network": network, "heads": record.heads}


def _of_user(given: dict[str, Any], backbone: Any) -> tuple[FoundationModel, Any]:
    """A user's own file, for the network that the trial or `network` names."""
    file, model = given.get("file"), given.get("model")
    if not file:
        hint = did_you_mean(str(model), ZOO) if model else ""
        raise BadInput(
            f"weights need `model`, an id of the zoo ({', '.join(ZOO)}), or `file`{hint}"
        )
    below = _mapping(backbone, "backbone")
    network: dict[str, Any] = {key: below[key] for key in ("name", "options") if key in below}
    network |= _network(given)
    if "name" not in network:
        raise BadInput(f"weights {file}: the network is not given; add backbone: {{name: ...}}")
    network, heads = _with_heads(network, given.get("heads"))
    record = user_model(str(file), given.get("format") or "timm", str(network["name"]))
    return record, {**given, "model": model or OWN, "network": network, "heads": heads}


def _with_heads(network: dict[str, Any], heads: Any) -> tuple[dict[str, Any], Any]:
    """The network with the number of heads that is given, and the number that is known."""
    options = _mapping(network.get("options"), "options")
    if not isinstance(heads, int):
        return network, options.get(HEADS) if heads is None else heads
    options = with_heads(str(network["name"]), options, heads)
    return ({**network, "options": options} if options else network), heads


def _refuse_tag(backbone: Any) -> None:
    """Refuse a network whose name promises pre-trained weights that nothing provides."""
    name = str(backbone.get("name")) if isinstance(backbone, dict) else ""
    network, _, tag = name.partition(".")
    if tag:
        raise BadInput(
            f"backbone {name} names pre-trained weights, which are never downloaded: get "
            f"model.safetensors from https://huggingface.co/timm/{name} and write weights: "
            f"{{file: model.safetensors, format: timm}}; for random ones write name: {network}"
        )


def _backbone(values: dict[str, Any], record: FoundationModel | None, weights: Any) -> Any:
    given = values.get("backbone")
    if record is None:
        return given
    given = _mapping(given, "backbone")
    if record.id not in ZOO:
        network = given if "name" in given else {**weights["network"], **given}
        return _with_heads(network, weights["heads"])[0]
    official = record.official_normalisation if _recipe(values) == OFFICIAL else None
    seen = {"crop_pct": record.crop_pct, "normalisation": official or record.normalisation}
    below = record.network().content() | seen
    if given.get("name", record.backbone) != record.backbone:
        raise BadInput(
            f"weights {record.id} are for {record.backbone}, not {given['name']}; "
            "leave backbone.name out"
        )
    return {**below, **given}


def _recipe(values: dict[str, Any]) -> Any:
    """The recipe that the raw adaptation names; None without one."""
    adaptation = values.get("adaptation")
    return adaptation.get("recipe") if isinstance(adaptation, dict) else None


def _network(given: dict[str, Any]) -> dict[str, Any]:
    network = _mapping(given.get("network"), "weights.network")
    for key in network:
        if key not in OWN_NETWORK:
            raise BadInput(
                f"weights.network has no key {key}{did_you_mean(str(key), OWN_NETWORK)}; known: "
                f"{', '.join(sorted(OWN_NETWORK))}; set the rest under backbone"
            )
    return network


def _mapping(value: Any, name: str) -> dict[str, Any]:
    """The mapping unchanged, an empty one for None; raises BadInput for anything else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadInput(f"{name} must be a mapping of keys to values, not {value!r}")
    return value
