"""Fixtures shared by all tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that none of them is waited for alone at the end."""
    long = (item for item in items if any(map(item.get_closest_marker, ("ray", "slow"))))
    count = Counter(item.path for item in long)
    items.sort(key=lambda item: -count[item.path])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout; a clone does not have it, and its tests are skipped."""
    folder = Path(__file__).parents[1] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("no real data beside this checkout (../shared/data)")
    return folder.resolve()
