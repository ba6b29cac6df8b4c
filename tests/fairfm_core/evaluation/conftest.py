"""Predictions of a made-up model whose AUC per group is known."""

import pytest

from tests.fairfm_core.evaluation.cohorts import cohort


@pytest.fixture(scope="session")
def make_frame():
    return cohort
