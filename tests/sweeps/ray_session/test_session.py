"""A Ray that cannot be used is refused in one line, without waiting for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import grpc
import pytest

from fairfm_core.errors import BadInput
from sweeps.ray_session.session import ray_session


def test_nothing_listens_at_the_address() -> None:
    with (
        pytest.raises(BadInput, match=r"nothing answers at 127\.0\.0\.1:9"),
        ray_session("127.0.0.1:9"),
    ):
        pass


def test_a_folder_that_is_too_long_for_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 40)
    with pytest.raises(BadInput, match="path has at most 38 characters"), ray_session(None, 1):
        pass


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, int]]:
    """Ports of services that are no Ray: one that never answers, a web page, and one of gRPC."""
    silent = socket.create_server(("127.0.0.1", 0))
    page = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    Thread(target=page.serve_forever, daemon=True).start()
    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    yield {"silent": silent.getsockname()[1], "page": page.server_port, "grpc": port}
    other.stop(None)
    page.shutdown()
    page.server_close()
    silent.close()


def refusal(address: str) -> str:
    """What a session at the address is refused with."""
    with pytest.raises(BadInput) as refused, ray_session(address):
        pass
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["{}", "ray://{}"])
@pytest.mark.parametrize("service", ["silent", "page", "grpc"])
def test_another_service_is_told_without_waiting_for_ray(
    services: dict[str, int], service: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray asks such a service for half a minute and more, so it is not asked at all."""
    monkeypatch.setattr("ray.init", lambda **options: pytest.fail("Ray was asked"))
    address = form.format(f"127.0.0.1:{services[service]}")
    assert refusal(address).startswith(f"what answers at {address} is no Ray cluster")


@pytest.mark.parametrize("form", ["{}:6379", "ray://{}:10001"])
def test_a_host_that_nobody_knows(form: str) -> None:
    assert refusal(form.format("no-such-host.invalid")).startswith(
        "no host is called no-such-host.invalid (--address "
    )


@pytest.mark.parametrize("address", ["nonsense", "6379", ":6379", "local", "head:99999"])
def test_what_is_no_address(address: str) -> None:
    assert refusal(address).startswith(f"--address {address!r} is no address of a Ray cluster")


def test_auto_names_the_cluster_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray remembers the last cluster of this machine for ever."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text("10.0.0.1:9")
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)  # others' at this moment
    monkeypatch.setattr("sweeps.ray_session.address.is_reachable", lambda place: False)
    assert (
        refusal("auto") == "nothing answers at 10.0.0.1:9; give the address of a running Ray's head"
    )
