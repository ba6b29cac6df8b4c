"""A cluster file that cannot be used is refused in one line that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairfm_core.errors import BadInput
from sweeps.cluster.description import read_cluster, shipped

from .cluster_files import filled_in

ONPREM = {"head_ip: 10.0.0.1": "head_ip: 10.0.0.7"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "idle_timeout_minutes: 60",
            "idle_timeout_minuts: 60",
            "unknown key 'idle_timeout_minuts' (did you mean 'idle_timeout_minutes'?); known: ",
        ),
        ("upscaling_speed: 1.0", "upscaling_speed: fast", "upscaling_speed: 'fast' is not"),
        ("upscaling_speed: 1.0", "upscaling_speed: fast", "(line 14)"),
        ("type: local", "type: locl", "provider.type 'locl' is unknown (did you mean 'local'?)"),
        ("  type: local\n", "", "names no provider"),
        ("  head_ip: 10.0.0.1  ", "  # ", "provider lacks head_ip; name the hosts"),
        ("cluster_name: fairfm", "cluster_name: [", "is not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = filled_in("onprem", tmp_path, {old: new})
    with pytest.raises(BadInput) as refused:
        read_cluster(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "still"), [("aws", "ghcr.io/OWNER/fairfm"), ("gcp", "<your-project>")]
)
def test_what_is_not_filled_in_is_named(
    name: str, still: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.cluster.description.LIBRARIES", {})
    with pytest.raises(BadInput, match=r"line \d+ still has ") as refused:
        read_cluster(shipped(name))
    assert still in str(refused.value)


def test_a_file_for_kubernetes_names_its_command() -> None:
    with pytest.raises(BadInput, match="start it with: kubectl apply -f"):
        read_cluster(shipped("kuberay"))


def test_a_cloud_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.cluster.description.LIBRARIES", {"aws": "no_such_library"})
    with pytest.raises(BadInput, match=r"needs the package no_such_library; install it with"):
        read_cluster(filled_in("aws", tmp_path))


def test_addresses_of_own_hosts(tmp_path: Path) -> None:
    cluster = read_cluster(filled_in("onprem", tmp_path, ONPREM))
    assert cluster.is_local
    assert cluster.head_address == "10.0.0.7"
    assert cluster.worker_addresses == ("10.0.0.2", "10.0.0.3")
