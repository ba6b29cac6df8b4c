"""AWS tells a spot instance of its end through its metadata service; nobody else is asked."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from sweeps.ray_session import notices


class Metadata(BaseHTTPRequestHandler):
    """The metadata service in its second version, which asks for a token first."""

    announced = False

    def do_PUT(self) -> None:
        asked = self.path == "/latest/api/token"
        self.answer("secret" if asked and self.headers[f"{notices.TOKEN}-ttl-seconds"] else None)

    def do_GET(self) -> None:
        known = self.headers[notices.TOKEN] == "secret" and self.announced
        notice = '{"action": "terminate", "time": "2026-01-01T00:02:00Z"}'
        is_asked = self.path == "/latest/meta-data/spot/instance-action"
        self.answer(notice if known and is_asked else None)

    def answer(self, text: str | None) -> None:
        self.send_response(404 if text is None else 200)
        self.end_headers()
        self.wfile.write((text or "").encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Metadata]]:
    """A metadata service, at another address than on AWS."""
    service = HTTPServer(("127.0.0.1", 0), Metadata)
    Thread(target=service.serve_forever, daemon=True).start()
    monkeypatch.setattr(notices, "METADATA", f"http://127.0.0.1:{service.server_port}/latest")
    monkeypatch.setattr(notices, "SECONDS", 60.0)
    monkeypatch.setattr(Metadata, "announced", False)
    yield Metadata
    service.shutdown()
    service.server_close()


def test_a_spot_instance_learns_of_its_end(
    metadata: type[Metadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not notices.is_spot_interrupted()
    monkeypatch.setattr(metadata, "announced", True)
    assert notices.is_spot_interrupted()


def test_a_service_that_does_not_answer_announces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "METADATA", "http://127.0.0.1:9/latest")
    assert not notices.is_spot_interrupted()


@pytest.mark.parametrize(("vendor", "on_aws"), [("Amazon EC2\n", True), ("QEMU\n", False)])
def test_who_has_built_the_machine_says_where_it_is(
    vendor: str, on_aws: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "VENDOR", tmp_path / "sys_vendor")
    assert not notices.is_on_aws()
    (tmp_path / "sys_vendor").write_text(vendor)
    assert notices.is_on_aws() is on_aws
