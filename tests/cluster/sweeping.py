"""A cluster of hosts, a study on their shared file system, and what a run leaves there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fairfm_core.data.preparation.prepare import prepare
from sweeps.cluster.description import shipped

from .hosts import ADDRESSES, FIRST, HEAD, LAPTOP, SECOND, SHARED, Hosts

CLUSTER, DESK = f"{SHARED}/onprem.yaml", f"{SHARED}/desk"
TRIALS = 6
STUDY_VALUES: dict[str, Any] = {
    "study": "survivor",
    "claim": "a study for a cluster whose hosts die",
    "base": {
        "data": {"dataset": f"{SHARED}/data", "balance": "sex"},
        "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
    },
    "matrix": {
        "adaptation": {
            "probe": {"method": "linear_probe", "recipe": "smoke", "epochs": 3},
            "tune": {"method": "end_to_end", "recipe": "smoke", "epochs": 40},
        },
    },
    "seeds": [0, 1, 2],
    "objectives": [{"metric": "val/auc", "goal": "maximize"}],
    "evaluation": {"attributes": ["sex"], "replicates": 20},
}
PATIENCE = 900.0
"""Seconds after which what is waited for counts as not happening."""


@dataclass(frozen=True)
class Desk:
    """The laptop of somebody who uses a cluster of three other hosts."""

    hosts: Hosts

    def fairfm(self, arguments: str, check: bool = True) -> str:
        """What `fairfm ARGUMENTS` prints on the laptop."""
        return self.hosts[LAPTOP].run(f"cd {DESK} && python -m sweeps {arguments}", check)

    def submit(self, results: str = f"{SHARED}/results") -> None:
        """Hand the study to the cluster, which goes on without the laptop."""
        said = self.fairfm(f"sweep submit study.yaml --results {results} --cluster {CLUSTER}")
        assert "the head has accepted the study" in said

    def ended(self) -> str:
        """What the run that was submitted last has printed, when it has ended."""
        return self.fairfm(f"sweep attach study.yaml --cluster {CLUSTER}", check=False)

    def finished(self) -> set[str]:
        """The adaptations that are done."""
        return {marker.parent.name for marker in self.hosts.shared.glob("results/adapt/*/done")}


def furnish(hosts: Hosts) -> Desk:
    """Put the cluster file that we ship, a data set and a study on the shared file system."""
    values = yaml.safe_load(shipped("onprem").read_text(encoding="utf-8"))
    values["provider"]["head_ip"] = ADDRESSES[HEAD]
    values["provider"]["worker_ips"] = [ADDRESSES[FIRST], ADDRESSES[SECOND]]
    values["auth"] = {"ssh_user": "root", "ssh_private_key": f"{SHARED}/keys/key"}
    # The hosts see this checkout and its interpreter, and have no network to install from.
    values["file_mounts"], values["setup_commands"] = {}, ["python -c 'import sweeps'"]
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        values[name] = [
            line.replace("ray start", "ray start --num-cpus=1") for line in values[name]
        ]
    (hosts.shared / "onprem.yaml").write_text(yaml.safe_dump(values))
    (hosts.shared / "desk").mkdir()  # with nothing else that would travel to the cluster
    (hosts.shared / "desk/study.yaml").write_text(yaml.safe_dump(STUDY_VALUES))
    prepare("phantom", "unfair", hosts.shared / "data", 32, patients=150)
    return Desk(hosts)


def until(happened: Callable[[], bool], every: float = 0.5) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(every)


def predictions(results: Path) -> dict[str, bytes]:
    """The files of predictions in a results folder, by their path in it."""
    files = results.glob("adapt/*/predictions/*.parquet")
    return {str(file.relative_to(results)): file.read_bytes() for file in sorted(files)}
