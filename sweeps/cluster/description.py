"""A cluster file: what Ray's launcher reads, checked by Ray itself and refused in our words."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from jsonschema.exceptions import ValidationError

from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.yaml_text import YamlLines, read_yaml_lines

LOCAL = "local"
LIBRARIES = {"aws": "boto3", "gcp": "googleapiclient"}
"""What Ray imports to speak with a cloud."""
PLACEHOLDER = re.compile(r"\b[a-z]+-0{17}\b|\S*/OWNER/\S*|<your-[a-z]+>")
"""A value of our cluster files that a user has to replace, in a line marked `<-`."""
ELSEWHERE = {
    "RayCluster": "kubectl apply -f",
    "RayJob": "kubectl apply -f",
    "RayService": "kubectl apply -f",
}
"""Kinds of Kubernetes resources, which an operator starts, and the command that applies them."""


@dataclass(frozen=True, eq=False)
class NodeType:
    """A kind of node of a cloud that a cluster may start."""

    name: str
    resources: Mapping[str, int]
    least: int
    most: int
    """How many of it may run; the head counts for itself."""
    settings: Mapping[str, Any]
    """What the cloud is asked for: the instance type, disks, spot or not."""

    @property
    def instance(self) -> str | None:
        """The cloud's name of the machine: `g5.xlarge`, `g2-standard-8`."""
        named = self.settings.get("InstanceType") or self.settings.get("machineType")
        return None if named is None else str(named).rsplit("/", 1)[-1]

    @property
    def is_spot(self) -> bool:
        """Whether the cloud may take it back at any time, for less money."""
        aws = self.settings.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        schedule = self.settings.get("scheduling", {})
        schedule = schedule if isinstance(schedule, Mapping) else {}
        return (
            aws
            or schedule.get("preemptible", False)
            or (schedule.get("provisioningModel") == "SPOT")
        )


@dataclass(frozen=True, eq=False)
class ClusterDescription:
    """A cluster file that Ray accepts, with Ray's defaults filled in."""

    path: Path
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The cluster's name; two clusters of one account must differ in it."""
        return str(self.values["cluster_name"])

    @property
    def provider(self) -> str:
        """Who provides the nodes: `local` for hosts of one's own, `aws`, `gcp`, ..."""
        return str(self.values["provider"]["type"])

    @property
    def is_local(self) -> bool:
        """Whether it runs on hosts of one's own."""
        return self.provider == LOCAL

    @property
    def head_address(self) -> str:
        """Where SSH reaches the head of a local cluster."""
        provider = self.values["provider"]
        return str(provider.get("external_head_ip") or provider["head_ip"])

    @property
    def worker_addresses(self) -> tuple[str, ...]:
        """Where the head reaches the other hosts of a local cluster."""
        return tuple(map(str, self.values["provider"].get("worker_ips", ())))

    @property
    def node_types(self) -> dict[str, NodeType]:
        """The kinds of nodes, by name."""
        return {
            name: NodeType(
                name,
                each["resources"],
                each.get("min_workers", 0),
                each.get("max_workers", 0),
                each["node_config"],
            )
            for name, each in self.values["available_node_types"].items()
        }

    @property
    def head_type(self) -> NodeType:
        """The kind of the head node."""
        return self.node_types[self.values["head_node_type"]]

    @property
    def worker_types(self) -> list[NodeType]:
        """The kinds of which workers may be started."""
        return [each for each in self.node_types.values() if each.most > 0]


def read_cluster(path: Path) -> ClusterDescription:
    """Read a cluster file and check it as Ray does; raises BadInput in one line."""
    values, lines = read_yaml_lines(path)
    if kind := values.get("kind"):
        command = ELSEWHERE.get(kind, "kubectl apply -f")
        raise BadInput(f"{path} is for Kubernetes (kind: {kind}); start it with: {command} {path}")
    _check_provider(path, values)
    _check_placeholders(path)
    return ClusterDescription(path, _checked(path, values, lines))


def _check_provider(path: Path, values: Mapping[str, Any]) -> None:
    from ray.autoscaler._private.providers import _NODE_PROVIDERS

    written = values.get("provider")
    provider: Mapping[str, Any] = written if isinstance(written, dict) else {}
    kind = provider.get("type")
    if not isinstance(kind, str):
        raise BadInput(
            f"{path} is no cluster file: it names no provider, such as provider: {{type: aws}}; "
            "begin with one of sweeps/clusters"
        )
    if kind not in _NODE_PROVIDERS:
        known = [name for name in _NODE_PROVIDERS if not name.startswith("fake")]
        raise BadInput(
            f"{path}: provider.type {kind!r} is unknown{did_you_mean(kind, known)}; known: "
            f"{', '.join(known)}"
        )
    _check_library(path, kind)
    needed = [key for key in ("head_ip", "worker_ips") if key not in provider]
    if needed and kind == LOCAL and "coordinator_address" not in provider:
        raise BadInput(f"{path}: provider lacks {' and '.join(needed)}; name the hosts")


def _check_library(path: Path, kind: str) -> None:
    """Refuse a cloud whose library is not installed, at which Ray would fail with a traceback."""
    library = LIBRARIES.get(kind)
    if library is not None and find_spec(library) is None:
        raise BadInput(
            f"{path} is for {kind}, which needs the package {library}; install it with: "
            "pip install 'fairfm[cluster]'"
        )


def _check_placeholders(path: Path) -> None:
    """Refuse what our cluster files leave to their user."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        written = line.partition("#")[0]
        if found := PLACEHOLDER.search(written):
            raise BadInput(f"{path}: line {number} still has {found[0]}; write your own value")


def _checked(path: Path, values: dict[str, Any], lines: YamlLines) -> dict[str, Any]:
    """The values with Ray's defaults, as Ray accepts them."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            prepared: dict[str, Any] = prepare_config(values)
            validate_config(prepared)
    except ValidationError as error:
        raise BadInput(f"{path}: {_in_words(error)}{_line_of(error, lines)}") from error
    except (click.ClickException, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split()) or _last_line(said.getvalue())
        raise BadInput(f"{path} is refused by Ray: {reason}") from error
    return prepared


def _in_words(error: ValidationError) -> str:
    place = ".".join(map(str, error.absolute_path))
    inside = f" in {place}" if place else ""
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - {*known})[0]
        return f"unknown key {unknown!r}{inside}{did_you_mean(unknown, known)}; known: " + (
            ", ".join(known)
        )
    if error.validator == "required":
        lacking = [key for key in error.validator_value if key not in error.instance]
        return f"key {lacking[0]!r} is missing{inside}"
    return f"{place}: {error.message}"


def _line_of(error: ValidationError, lines: YamlLines) -> str:
    line = lines.of([str(part) for part in error.absolute_path])
    return "" if line is None else f" (line {line})"


def _last_line(text: str) -> str:
    """The last line that says something, without the codes of colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    said = [line.strip() for line in plain.splitlines() if line.strip()]
    return said[-1] if said else "no reason was given"


@cache
def shipped(name: str) -> Path:
    """A cluster file of this package: `aws`, `onprem`, `gcp`."""
    return Path(__file__).parents[1] / "clusters" / f"{name}.yaml"
