"""A Ray that cannot be used is refused in one line, without waiting for it."""

from __future__ import annotations

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
