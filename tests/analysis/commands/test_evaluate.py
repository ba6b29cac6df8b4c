import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from analysis.commands.evaluate import evaluate
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.predictions import write_predictions
from fairfm_core.evaluation.tables import read_evaluation


@pytest.fixture
def folder(tmp_path):
    """Validation and test predictions of one model, as another program might write them."""
    rng = np.random.default_rng(0)
    for split in ("val", "test"):
        label = rng.integers(2, size=120)
        frame = pd.DataFrame(
            {
                "image_id": [f"{split}{i}" for i in range(120)],
                "patient_id": [f"{split}{i // 2}" for i in range(120)],
                "split": split,
                "sex": np.where(np.arange(120) // 2 % 2, "F", "M"),
                "age": rng.uniform(20, 90, size=120),
                "y_Edema": label,
                "p_Edema": (label + rng.random(120)) / 2,
            }
        )
        write_predictions(frame, tmp_path / f"{split}.parquet")
    return tmp_path


def _run(*args):
    return CliRunner().invoke(evaluate, [str(arg) for arg in args])


def test_writes_tables_and_prints_what_each_number_is(folder):
    few = ("--attributes", "sex,age", "--replicates", 20)
    files = (folder / "val.parquet", folder / "test.parquet")
    done = _run(*files, "--out", folder / "out", "--age-edges", "40,60", *few)
    assert done.exit_code == 0, done.output
    result = read_evaluation(folder / "out")
    # Scores that separate the classes have no recalibration, and so no worst group of it.
    assert set(result.metrics["group"].dropna()) == {"all", "F", "M", "<40", "40-59", "60+"}
    head = done.output.splitlines()[0].split()
    assert head[:5] == ["split", "protocol", "what", "value", "95"]
    line = next(text for text in done.output.splitlines() if "age gap (mean_of_gaps)" in text)
    assert line.startswith("val")
    assert all(word in line for word in ("full", "[", "null", "p "))
    assert _run(folder, "--out", folder / "again", "--age-edges", "40,60", *few).exit_code == 0
    for name in ("metrics.parquet", "gaps.parquet"):
        same = (folder / "out" / name).read_bytes() == (folder / "again" / name).read_bytes()
        assert same


def test_protocols_stand_side_by_side(folder):
    few = ("--attributes", "sex", "--balance", "sex", "--replicates", 10)
    done = _run(folder, "--out", folder / "both", "--protocol", "full,balanced,resample", *few)
    assert done.exit_code == 0, done.output
    result = read_evaluation(folder / "both")
    assert list(result.metrics["protocol"].unique()) == ["full", "balanced", "resample"]
    assert set(result.weights["protocol"]) == {"full", "balanced", "resample"}
    assert "balanced, test: smallest effective sample" in done.output
    assert "weights.parquet" in done.output
    alone = _run(folder, "--out", folder / "alone", *few)
    assert alone.exit_code == 0
    assert "effective sample" not in alone.output
    full = result.metrics[result.metrics["protocol"] == "full"].reset_index(drop=True)
    pd.testing.assert_frame_equal(full, read_evaluation(folder / "alone").metrics)


def test_bad_input(folder):
    for option, value, said in (
        ("--protocol", "full,balancd", "unknown protocol 'balancd' (did you mean 'balanced'?)"),
        ("--protocol", "balanced", "the predictions have no 'race'"),
    ):
        done = _run(folder, "--out", folder / "out", "--attributes", "sex", option, value)
        assert isinstance(done.exception, BadInput)
        assert said in str(done.exception)
    assert _run(folder, "--out", folder / "out", "--protocol", ",").exit_code == 2
    assert isinstance(_run(folder, "--out", folder / "out").exception, BadInput)  # no race
    assert _run(folder, "--out", folder / "out", "--age-edges", "forty").exit_code == 2
    absent = _run(folder / "absent.parquet", "--out", folder / "out").exception
    assert isinstance(absent, BadInput)
    assert str(absent).startswith("no predictions at ")
    assert _run("--out", folder / "out").exit_code == 2
    (folder / "empty").mkdir()
    assert isinstance(_run(folder / "empty", "--out", folder / "out").exception, BadInput)


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from analysis.commands.evaluate import evaluate\n"
        "try: evaluate(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'pandas', 'torch', 'ray')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_wrong_operating_point_names_its_option(folder):
    done = _run(folder, "--out", folder / "out", "--thresholds", "fpr=2")
    assert isinstance(done.exception, BadInput)
    assert str(done.exception) == (
        "--thresholds: operating point 'fpr=2' needs a rate between 0 and 1, as in fpr=0.2"
    )
