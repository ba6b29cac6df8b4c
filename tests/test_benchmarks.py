"""The benchmarks run, and their two sides agree, at tiny sizes: without limits on time.

`make bench-quick` runs every one of them; here are those that start no Ray and train no network.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = (
    *("row_bootstrap", "patient_bootstrap", "bench_delong", "auc_kernels"),
    *("comparisons", "extremes", "seed_levels"),
)


@pytest.mark.slow
def test_quick_benchmarks_run_and_their_sides_agree():
    environment = os.environ | {"FAIRFM_BENCH_QUICK": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks", *NAMES]
    root = Path(__file__).parents[1]
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "ratio" in ended.stdout
    assert "3,000 images" in ended.stdout
