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
                "p_Edema": (label + 1.5 * rng.random(120)) / 2.5,
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
    assert set(result.metrics["group"].dropna()) == {"all", "F", "M", "<40", "40-59", "60+"}
    lines = done.output.splitlines()
    assert lines[0].startswith(f"{files[0]}")
    words = " ".join(done.output.split())
    assert (
        "Split test, protocol full, mean over 1 pathology; in points (1 point = 0.01), 95 %"
        in words
    )
    gap = result.gaps.query("split == 'test' and attribute == 'age' and metric == 'auc'").iloc[0]
    (line,) = [text for text in lines if text.startswith("AUC") and "'age'" in text]
    assert f"{100 * gap['value']:.1f} (" in line
    assert f"{100 * gap['null_mean']:.1f}, to " in line
    assert f"'{gap['worst_group']}', '{gap['best_group']}'" in line
    worst = result.metrics.query("metric == 'worst_group_auc' and attribute == 'age'").iloc[-1]
    assert f"'age' '{worst['group']}' {100 * worst['bias_corrected']:.1f}" in done.output
    first = next(text for text in lines if text.startswith("'age'"))
    assert first.split()[1] == f"'{worst['group']}'", "the worst group comes first"
    assert _run(folder, "--out", folder / "again", "--age-edges", "40,60", *few).exit_code == 0
    for name in ("metrics.parquet", "gaps.parquet"):
        same = (folder / "out" / name).read_bytes() == (folder / "again" / name).read_bytes()
        assert same


def table_of(path, **columns):
    """Predictions of one pathology on test."""
    frame = pd.DataFrame(columns).assign(split="test")
    frame["image_id"] = [f"i{n}" for n in range(len(frame))]
    path.mkdir()
    write_predictions(frame, path / "test.parquet")
    return path


def test_a_small_table_is_told_in_whole_words(tmp_path):
    """One patient is no `1 patients`, and groups that lack the same share one reason."""
    folder = table_of(
        tmp_path / "small",
        patient_id=["a", "a", "a", "b", "c"],
        sex=["F", "F", "F", "M", "M"],
        race=["Black", "Black", "Black", "White", "Asian"],
        y_Edema=[0, 1, 0, 1, 1],
        p_Edema=[0.2, 0.7, 0.8, 0.6, 0.7],
    )
    done = _run(folder, "--out", tmp_path / "out", "--metrics", "auc", "--replicates", 20)
    assert done.exit_code == 0, done.output
    assert "'sex' 'F', 'race' 'Black': no interval: one patient only" in done.output
    words = " ".join(done.output.split())
    assert "'race' 'Asian' ('Edema': 0 negatives among 1 image), 'race' 'White' (" in words
    for wrong in ("1 patients", "1 images", "nan", "None"):
        assert wrong not in done.output


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scores", ["constant", "right"])
def test_a_value_that_no_draw_changes_has_no_interval(tmp_path, scores):
    label = np.arange(80) % 4 < 2
    folder = table_of(
        tmp_path / scores,
        patient_id=[f"p{n}" for n in range(80)],
        sex=np.where(np.arange(80) % 2, "F", "M"),
        y_Edema=label.astype(float),
        p_Edema=np.full(80, 0.5) if scores == "constant" else label.astype(float),
    )
    few = ("--attributes", "sex", "--replicates", 20)
    done = _run(folder, "--out", tmp_path / "out", *few)
    assert done.exit_code == 0, done.output
    result = read_evaluation(tmp_path / "out")
    for table in (result.metrics.query("metric.str.endswith('auc')"), result.gaps.head(2)):
        assert table["value"].isin([0.0, 0.5, 1.0]).all()
        assert table[["lo", "hi"]].isna().all(axis=None)
        assert table["reason"].str.contains("no interval: the replicates do not vary").all()


@pytest.mark.slow
def test_protocols_stand_side_by_side(folder):
    few = ("--attributes", "sex", "--balance", "sex", "--replicates", 10)
    done = _run(folder, "--out", folder / "both", "--protocol", "full,balanced,resample", *few)
    assert done.exit_code == 0, done.output
    result = read_evaluation(folder / "both")
    assert list(result.metrics["protocol"].unique()) == ["full", "balanced", "resample"]
    assert set(result.weights["protocol"]) == {"full", "balanced", "resample"}
    assert "balanced, test: smallest effective sample" in done.output
    assert "weights.csv" in done.output
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
    race = _run(folder, "--out", folder / "out", "--attributes", "race").exception
    assert "unknown attribute 'race'" in str(race)
    assert str(race).endswith("the predictions have: 'sex', 'age'")
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
