import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from analysis.commands.ensemble import ensemble
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import read_predictions, write_predictions
from fairfm_core.evaluation.summary import final_metrics

FEW = ("--attributes", "sex", "--replicates", 10)


@pytest.fixture
def folder(tmp_path):
    """Predictions of three models, each a folder with a file for either split."""
    rng = np.random.default_rng(0)
    for split in ("val", "test"):
        label = rng.integers(2, size=200)
        for model in ("mae", "moco", "bit"):
            frame = pd.DataFrame(
                {
                    "image_id": [f"{split}{i:03d}" for i in range(200)],
                    "patient_id": [f"{split}{i // 2}" for i in range(200)],
                    "split": split,
                    "sex": np.where(np.arange(200) // 2 % 2, "F", "M"),
                    "y_Edema": label,
                    "p_Edema": (label + 2 * rng.random(200)) / 3,
                }
            )
            place = tmp_path / model / "predictions"
            place.mkdir(parents=True, exist_ok=True)
            write_predictions(frame, place / f"{split}.parquet")
    return tmp_path


def run(*args):
    return CliRunner().invoke(ensemble, [str(arg) for arg in args])


def models(folder):
    return [folder / name / "predictions" for name in ("mae", "moco", "bit")]


def test_the_ensemble_of_all_members_is_written_and_shown(folder):
    done = run(*models(folder), "--out", folder / "out", *FEW)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("ensemble of 3 members, mean probability: bit + mae + moco\n")
    assert re.search(r"^AUC  'sex' ", done.output, re.MULTILINE)
    assert max(map(len, done.output.splitlines())) <= 120
    written = read_predictions(folder / "out" / "ensemble.parquet").frame
    parts = [
        pd.concat([read_predictions(model / f"{split}.parquet").frame for split in ("test", "val")])
        for model in models(folder)
    ]
    mean = np.mean([part["p_Edema"].astype(float) for part in parts], axis=0)
    np.testing.assert_allclose(written["p_Edema"], mean, rtol=1e-7)
    assert not (folder / "out" / "subsets.parquet").exists()


def test_the_search_chooses_on_validation_and_shows_test(folder):
    out = folder / "out"
    done = run(*models(folder), "--out", out, "--search", "--combine", "logit", *FEW)
    assert done.exit_code == 0, done.output
    subsets = pd.read_parquet(out / "subsets.parquet")
    columns = ["members", "size", "val_auc", "val_gap_sex", "on_front", "front"]
    assert subsets.columns.tolist() == columns
    assert len(subsets) == 7
    front = subsets[subsets["on_front"]].sort_values("front")
    assert f"front: {len(front)} of 7 ensembles of 3 members, mean logit" in done.output
    assert front["front"].tolist() == list(range(1, len(front) + 1))
    settings = EvaluationSettings(attributes=("sex",), replicates=10, metrics=("auc",))
    for _, row in front.iterrows():
        written = read_predictions(out / "front" / f"{int(row['front'])}.parquet")
        numbers = final_metrics(evaluate(written, settings))
        assert abs(numbers["val/auc"] - row["val_auc"]) < 1e-12
        assert abs(numbers["val/gap_sex"] - row["val_gap_sex"]) < 1e-12
        assert f"{int(row['front'])}     {' + '.join(row['members'])}" in done.output
        for name, what in (
            ("auc", "AUC, all images"),
            ("gap_sex", "sex gap (gap_of_mean)"),
        ):
            value, interval = 100 * numbers[f"test/{name}"], r"\(\d+\.\d–\d+\.\d\)"
            line = rf"^{int(row['front'])} +{re.escape(what)} .* {value:.1f} {interval} "
            (shown,) = re.findall(line + ".*$", done.output, re.MULTILINE)
            assert ("null" in shown) == (name == "gap_sex")
            assert ("corrected " in shown) == (name == "gap_sex")
    assert max(map(len, done.output.splitlines())) <= 120
    best = subsets[subsets["size"] == 1].sort_values("val_auc").iloc[-1]
    assert f"best  {best['members'][0]} (the single member" in done.output


def test_a_second_run_writes_the_same_bytes_and_leaves_no_older_front(folder):
    args = ("--search", *FEW)
    assert run(*models(folder), "--out", folder / "one", *args).exit_code == 0
    (folder / "two" / "front").mkdir(parents=True)
    (folder / "two" / "front" / "99.parquet").write_bytes(b"of an earlier run")
    (folder / "two" / "front" / "notes.parquet").write_bytes(b"of a user")
    assert run(*reversed(models(folder)), "--out", folder / "two", *args).exit_code == 0
    names = {path.name for path in (folder / "one" / "front").iterdir()}
    assert {path.name for path in (folder / "two" / "front").iterdir()} == names | {"notes.parquet"}
    for name in ("subsets.parquet", *(f"front/{name}" for name in names)):
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()


def test_without_a_test_split_the_front_is_shown_on_validation_alone(folder):
    given = [f"{model.parent.name}={model / 'val.parquet'}" for model in models(folder)]
    done = run(*given, "--out", folder / "out", "--search", "--most", 2, *FEW)
    assert done.exit_code == 0, done.output
    assert "of 6 ensembles of 3 members" in done.output
    assert "no test split given" in done.output
    assert "mae" in done.output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["mae/predictions"], "an ensemble needs two or more members; 1 given"),
        (["mae/predictions", "--search"], "2 to 16 members, not 1"),
        (["mae/predictions/val.parquet", "moco/predictions/val.parquet"], "both called 'val'"),
        (["mae/predictions", "mocco/predictions"], "no file or folder"),
        (["mae/predictions", "x=mocco"], "no file or folder 'mocco'"),
        (["mae/predictions", "empty"], "holds no predictions"),
        (["mae/predictions", "moco/predictions", "--combine", "logits"], "did you mean 'logit'?"),
        (["mae/predictions", "moco/predictions", "--attributes", "race"], "unknown attribute"),
        (
            ["a=mae/predictions/test.parquet", "b=moco/predictions/test.parquet", "--search"],
            "no rows of split 'val'",
        ),
        (
            ["a=mae/predictions/test.parquet", "b=moco/predictions/val.parquet"],
            "a and b cannot be paired: they predict different images",
        ),
    ],
)
def test_bad_input_is_one_line(folder, monkeypatch, given, said):
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    done = run(*given, "--out", "out", *(FEW if "--attributes" not in given else FEW[2:]))
    assert isinstance(done.exception, BadInput), done.output
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (folder / "out").exists()


def test_no_member_is_overwritten(folder):
    assert run(*models(folder), "--out", folder / "mean", *FEW).exit_code == 0
    written = folder / "mean" / "ensemble.parquet"
    before = written.read_bytes()
    done = run(written, models(folder)[0], "--out", folder / "mean", *FEW)
    assert isinstance(done.exception, BadInput)
    assert "would be overwritten" in str(done.exception)
    assert written.read_bytes() == before
    again = run(f"mean={written}", models(folder)[0], "--out", folder / "other", *FEW)
    assert again.output.startswith("ensemble of 2 members, mean probability: mae + mean\n")


def test_options_that_do_nothing_are_refused(folder):
    done = run(*models(folder), "--out", folder / "out", "--most", 2)
    assert done.exit_code == 2
    assert "add --search" in done.output


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from analysis.commands.ensemble import ensemble\n"
        "try: ensemble(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'pandas', 'torch', 'ray')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_ensembles_of_table_3_are_made_by_rule(folder):
    named = {"mae": "mae", "MoCov3": "moco", "bit": "bit"}
    members = [f"{name}={folder / path / 'predictions'}" for name, path in named.items()]
    done = run(*members, "--out", folder / "out", "--table3", *FEW)
    assert done.exit_code == 0, done.output
    made = {path.stem: read_predictions(path).frame for path in folder.glob("out/table3/*")}
    assert set(made) == {"Natural Imaging", "All Foundation Models"}
    pd.testing.assert_frame_equal(made["Natural Imaging"], made["All Foundation Models"])
    row = next(line for line in done.output.splitlines() if line.startswith("Natural Imaging"))
    assert "MAE + MoCov3 + BiT" in row
    assert "null" in row
    assert "left out: ensemble 'ViT (Masked)' has 1 of 3 models (MAE)" in done.output
    parts = [
        pd.concat([read_predictions(model / f"{split}.parquet").frame for split in ("test", "val")])
        for model in models(folder)
    ]
    mean = np.mean([part["p_Edema"].astype(float) for part in parts], axis=0)
    np.testing.assert_allclose(made["Natural Imaging"]["p_Edema"], mean, rtol=1e-7)


def test_table_3_takes_the_papers_models_alone(folder):
    for members, said in (
        (("mae", "maee"), "did you mean 'mae'"),
        (("mae", "remedis"), None),
        (("mae",), "has two of its members"),
    ):
        given = [f"{name}={folder / 'mae' / 'predictions'}" for name in members]
        done = run(*given, "--out", folder / "out", "--table3", *FEW)
        if said is None:
            assert "All Foundation Models" in done.output
        else:
            assert isinstance(done.exception, BadInput)
            assert said in str(done.exception)
    assert run(f"mae={folder / 'mae'}", "--out", folder, "--table3", "--search").exit_code == 2
