"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from .warm.starting import warm_tests

# A slow machine fails no test: the profile of those who chose none has no limits in seconds.
if settings.get_current_profile_name() == "default":
    settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("tests")

LONGEST = (
    "test_readme.py",
    "sweeps/cluster/test_submission.py",
    "sweeps/execution/test_runner.py",
    "test_docs.py",
    "sweeps/tracking/test_outages.py",
    "sweeps/execution/test_data_parallel_study.py",
    "test_chaos.py",
    "fairfm_core/training/pretraining/test_learning.py",
    "test_null_simulation.py",
    "sweeps/tracking/test_study_page.py",
    "sweeps/execution/test_halving.py",
    "sweeps/commands/test_track.py",
    "sweeps/execution/test_fake_gpus.py",
    "desks/machines/test_slurm.py",
    "sweeps/execution/test_exits.py",
    "sweeps/execution/test_pretrained_study.py",
    "sweeps/execution/test_search.py",
    "desks/predictions/test_own_predictions.py",
    "test_worlds.py",
    "sweeps/execution/test_first_run.py",
    "fairfm_core/evaluation/kernels/test_group_auc.py",
    "sweeps/found/test_found.py",
    "sweeps/cluster/test_tracking_server.py",
    "fairfm_core/training/pretraining/test_data_parallel.py",
    "test_extending.py",
    "sweeps/execution/test_caps.py",
    "sweeps/test_api.py",
    "analysis/results/test_damaged_results.py",
    "desks/images/test_hospital_images.py",
    "sweeps/tracking/test_database.py",
    "fairfm_core/data/preparation/test_resuming.py",
    "sweeps/execution/test_other_objectives.py",
    "fairfm_core/evaluation/disaggregated/test_gap_rows.py",
    "fairfm_core/data/readers/test_chexpert_real.py",
    "analysis/front/test_front.py",
)
"""The files that take ten seconds or more, as they were measured, from the longest down."""


CACHE = "XDG_CACHE_HOME"


def pytest_configure(config: pytest.Config) -> None:
    """Prepare this process, and through its environment those that the tests start."""
    _take_signals()
    if CACHE not in os.environ or "PYTEST_XDIST_WORKER" not in os.environ:
        # One for all processes of this run, so that no network is built twice; never the user's.
        os.environ[CACHE] = tempfile.mkdtemp(prefix="fairfm-test-cache-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ[CACHE], ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """The processes that run tests are forks of one that has imported them."""
    from execnet.xspec import XSpec

    python = f"python={shlex.join(warm_tests(config))}"
    model = "execmodel=main_thread_only"
    specs[:] = [XSpec(f"popen//{model}//id={spec.id}//{python}") for spec in specs]


def _take_signals() -> None:
    """Started processes get signals as from a terminal, also where the tests run under nohup or in
    the background of a shell.

    An ignored signal is inherited; one that is handled here has its default effect in them.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that none of them is waited for alone at the end."""
    place = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(LONGEST)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout; a clone does not have it, and its tests are skipped."""
    folder = Path(__file__).parents[1] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("no real data beside this checkout (../shared/data)")
    return folder.resolve()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium of the system, driven by playwright, for the tests of one file."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    flags = ("gpu", "quic", "background-networking", "component-update", "sync", "dev-shm-usage")
    options = ["--no-sandbox", *(f"--disable-{flag}" for flag in flags)]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=options)
        yield started
        started.close()
