"""Run every benchmark: each prints both sides and their ratio, and fails where it misses a goal.

`python -m benchmarks delong` runs those whose name holds a word. With FAIRFM_BENCH_QUICK=1 sizes
are tiny, and no goal counts: what fails then does not run, or its sides disagree.
"""

from __future__ import annotations

import sys

from benchmarks.auc_engine import bench_delong, bench_patient_bootstrap, bench_row_bootstrap
from benchmarks.auc_kernels import bench_auc_kernels
from benchmarks.augmentation import bench_augmentation
from benchmarks.calibration import bench_calibration
from benchmarks.comparisons import bench_comparisons
from benchmarks.duplicates import bench_duplicates
from benchmarks.ensembles import bench_ensembles
from benchmarks.extraction import bench_extraction
from benchmarks.extremes import bench_extremes
from benchmarks.finetuning_step import bench_finetuning_step
from benchmarks.halving import bench_followed_numbers, bench_halving
from benchmarks.image_noise import bench_image_noise
from benchmarks.image_store import bench_image_store
from benchmarks.mae_masking import bench_mae_masking
from benchmarks.mlflow_logging import bench_mlflow_logging
from benchmarks.null import bench_null
from benchmarks.overhead import bench_overhead
from benchmarks.planning import bench_planning
from benchmarks.prediction_files import bench_prediction_files, bench_trial_files
from benchmarks.pretraining import bench_pretraining
from benchmarks.probe_heads import bench_probe_heads
from benchmarks.probe_study import bench_probe_study
from benchmarks.reading import bench_reading
from benchmarks.search import bench_search
from benchmarks.seed_levels import bench_seed_levels
from benchmarks.sizes import QUICK
from benchmarks.stored_results import bench_stored_results
from benchmarks.thousand_trials import bench_thousand_trials

BENCHMARKS = (
    bench_image_store,
    bench_duplicates,
    bench_row_bootstrap,
    bench_patient_bootstrap,
    bench_delong,
    bench_auc_kernels,
    bench_thousand_trials,
    bench_ensembles,
    bench_calibration,
    bench_comparisons,
    bench_extremes,
    bench_null,
    bench_seed_levels,
    bench_search,
    bench_halving,
    bench_followed_numbers,
    bench_augmentation,
    bench_extraction,
    bench_finetuning_step,
    bench_image_noise,
    bench_probe_heads,
    bench_probe_study,
    bench_mae_masking,
    bench_pretraining,
    bench_prediction_files,
    bench_trial_files,
    bench_stored_results,
    bench_overhead,
    bench_mlflow_logging,
    bench_planning,
    bench_reading,
)


def main(words: list[str]) -> int:
    """Number of benchmarks that missed their bound."""
    chosen = [each for each in BENCHMARKS if any(word in each.__name__ for word in words or [""])]
    missed = sum(not bench() for bench in chosen)
    return 0 if QUICK else missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
