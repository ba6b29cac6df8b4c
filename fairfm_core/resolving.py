"""A trial as written -> all its values: the zoo's network and the recipe under what is said.

Identity is what a name stands for and never the name, so this comes before validation.
"""

from __future__ import annotations

from typing import Any

from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.models.foundation import ZOO, FoundationModel, foundation_model, user_model
from fairfm_core.recipes import adaptation_values

SCRATCH = "scratch"
OWN = "own"
"""The name of a user's weights that have none: a file's name is no part of an identity."""


def resolve_trial(values: Any) -> Any:
    """Raw values with weights, backbone and adaptation spelt out; raises BadInput.

    `weights` may be `scratch`, an id of the zoo, or a mapping of `model`, `file`, `format`,
    `sha256` and, for a file of the user's own, `network`. What the zoo knows of a model (its
    network, normalisation, and in the paper's recipe epochs, batch and layer decay) stands below
    what the trial says.
    """
    if not isinstance(values, dict):
        return values
    record, weights = _weights(values)
    resolved = {**values, "weights": weights, "backbone": _backbone(values, record)}
    if isinstance(values.get("adaptation"), dict):
        resolved["adaptation"] = adaptation_values(values["adaptation"], record)
    return resolved


def _weights(values: dict[str, Any]) -> tuple[FoundationModel | None, Any]:
    """The zoo's or the user's record, and the weights to start from."""
    given = values.get("weights")
    if given is None or given == SCRATCH:
        return None, None
    if isinstance(given, str):
        return _of_zoo(given, {})
    if not isinstance(given, dict):
        return None, given
    if given.get("model") in ZOO:
        return _of_zoo(given["model"], given)
    return _of_user(given, values.get("backbone"))


def _of_zoo(name: str, given: dict[str, Any]) -> tuple[FoundationModel, Any]:
    if name not in ZOO:
        known = [SCRATCH, *ZOO]
        raise BadInput(
            f"weights {name!r} are not known{did_you_mean(name, known)}; known: {', '.join(known)}"
        )
    record = foundation_model(name)
    if record.format is None:
        return record, None
    if not given.get("file") and not record.bundled:
        raise BadInput(
            f"weights {name} need a file: weights: {{model: {name}, file: PATH}}; "
            f"get it from {record.source}"
        )
    network = record.network().content() | _mapping(given.get("network"))
    return record, {**given, "model": name, "network": network}


def _of_user(given: dict[str, Any], backbone: Any) -> tuple[FoundationModel, Any]:
    """A file of the user's own, of the network that the trial or `network` names."""
    file, model = given.get("file"), given.get("model")
    if not file:
        hint = did_you_mean(str(model), ZOO) if model else ""
        raise BadInput(
            f"weights need `model`, an id of the zoo ({', '.join(ZOO)}), or `file`{hint}"
        )
    below = _mapping(backbone)
    network: dict[str, Any] = {key: below[key] for key in ("name", "options") if key in below}
    network |= _mapping(given.get("network"))
    if "name" not in network:
        raise BadInput(f"weights {file}: say which network they are of: backbone: {{name: ...}}")
    record = user_model(str(file), given.get("format") or "timm", str(network["name"]))
    return record, {**given, "model": model or OWN, "network": network}


def _backbone(values: dict[str, Any], record: FoundationModel | None) -> Any:
    if record is None or record.id not in ZOO:
        return values.get("backbone")
    given = _mapping(values.get("backbone"))
    below = record.network().content() | {"crop_pct": record.crop_pct}
    if given.get("name", record.backbone) != record.backbone:
        raise BadInput(
            f"weights {record.id} are of {record.backbone}, not {given['name']}; "
            "leave backbone.name out"
        )
    return {**below, **given}


def _mapping(value: Any) -> dict[str, Any]:
    """The value where it is a mapping, else an empty one: validation will refuse it later."""
    return value if isinstance(value, dict) else {}
