"""Workers on CPUs speak through the interface by which Ray's nodes know each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from ray.train.torch.config import _TorchBackend

from sweeps.execution import gloo
from sweeps.execution.gloo import NodeTorchConfig, interface_of, use_node_interface


def test_every_address_of_this_machine_has_its_interface() -> None:
    names = psutil.net_if_addrs()
    addresses = {each.address: name for name, found in names.items() for each in found}
    assert interface_of("127.0.0.1") == addresses["127.0.0.1"]
    assert {interface_of(address) for address in addresses if "%" not in address} <= names.keys()
    assert interface_of("203.0.113.77") is None


@pytest.mark.parametrize(("set_before", "expected"), [(None, "lo"), ("ib0", "ib0")])
def test_the_interface_is_set_before_the_group_is_formed(
    set_before: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host whose name resolves to the loopback would tell its peers that address."""
    monkeypatch.setenv(gloo.INTERFACE, "changed by the test")  # so that it is restored
    monkeypatch.delenv(gloo.INTERFACE)
    if set_before:
        monkeypatch.setenv(gloo.INTERFACE, set_before)
    monkeypatch.setattr(gloo, "interface_of", {"10.0.0.3": "lo"}.get)
    monkeypatch.setattr(gloo.ray.util, "get_node_ip_address", lambda: "10.0.0.3")
    formed: list[str] = []

    def form(self: object, group: object, config: object) -> None:
        formed.append(os.environ[gloo.INTERFACE])

    class Workers:
        def execute(self, work: Callable[[], Any]) -> None:
            assert work is use_node_interface
            work()

    monkeypatch.setattr(_TorchBackend, "on_start", form)
    NodeTorchConfig().backend_cls().on_start(Workers(), NodeTorchConfig())
    assert formed == [expected]
