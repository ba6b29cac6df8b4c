"""`fairfm power`: its text, its files, and every input that is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from analysis.commands.power import power
from analysis.power.findings import PowerRequest, power_rows
from analysis.power.text import power_text
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.power.cohort import cohort_of_numbers
from fairfm_core.evaluation.power.setting import ModelAssumptions, power_setting
from fairfm_core.evaluation.power.simulation import Repetitions

COHORT = (
    "--patients",
    "2000",
    "--groups",
    "white=0.6,asian=0.25,black=0.15",
    "--prevalence",
    "0.2",
)


def run(out: Path, *options: str) -> Result:
    return CliRunner().invoke(power, [*options, "--out", str(out)])


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A calculation with 300 simulated test sets: its folder and its text."""
    out = tmp_path_factory.mktemp("power")
    asked = ("--gap", "0.1", "--gap-difference", "0.08", "--repetitions", "300")
    done = run(out, *COHORT, *asked)
    assert done.exit_code == 0, done.exception
    return out, done.output


def test_the_text_states_what_each_number_is(planned: tuple[Path, str]) -> None:
    _, text = planned
    for stated in (
        "Split test, protocol full, gap_of_mean",
        "level 5 %, power 80 %",
        "2,000 patients, 1 image of each, 1 pathology",
        "AUC 80.0 in every group but black",
        "patients for a gap of 10.0",
        "patients for a difference of two gaps of 8.0",
        "Fair models show gaps of",
        "300 test sets",
    ):
        assert stated in " ".join(text.split()), stated


def test_the_csv_holds_definition_level_power_split_and_protocol(
    planned: tuple[Path, str],
) -> None:
    rows = pd.read_csv(planned[0] / "power.csv")
    assert len(rows) == 4
    assert set(rows["definition"]) == {"gap_of_mean"}
    assert set(rows["level"]) == {0.05}
    assert set(rows["power"]) == {0.8}
    assert set(rows["split"]) == {"test"}
    assert set(rows["protocol"]) == {"full"}
    assert (rows["simulation"] / rows["formula"]).between(0.7, 1.4).all()


def test_the_figure_falls_with_the_patients(planned: tuple[Path, str]) -> None:
    data = pd.read_csv(planned[0] / "power_figure.csv")
    for name in ("detectable_gap", "null_mean", "null_hi"):
        assert data[name].dropna().is_monotonic_decreasing
    drawn = (planned[0] / "power_figure.svg").read_text()
    for words in ("smallest detectable gap", "gaps of fair models", "patients of the split"):
        assert words in drawn


def test_what_cannot_be_found_says_so() -> None:
    cohort = cohort_of_numbers(2000, {"white": 0.85, "black": 0.15}, [0.2], 1.0, 1)
    setting = power_setting(cohort, ModelAssumptions(auc=0.55))
    request = PowerRequest(setting, "test", Repetitions(0), gap=0.04, difference=0.03)
    text = " ".join(" ".join(power_text(request, power_rows(request))).split())
    assert "no gap is large enough: an AUC of 50.0 in black" in text
    assert "smallest detectable gap – –" in text
    spread = replace(request, setting=power_setting(cohort, ModelAssumptions(seed_sd=0.1)))
    assert "a thousand million are too few; more seeds are needed" in " ".join(
        power_rows(spread)["reason"].dropna()
    )


REFUSED = {
    (): "--patients, --groups, --prevalence missing: give a folder of",
    ("--patients", "100"): "--groups, --prevalence missing",
    (*COHORT, "--groups", "white"): "write each as NAME=SHARE, such as black=0.2, not 'white'",
    (*COHORT, "--groups", "a=1"): "groups: a gap needs two groups or more, not 1",
    (*COHORT, "--groups", "a=0.5,b=0.6"): "groups: the shares sum to 1.1; they must sum to 1",
    (*COHORT, "--groups", "a=1.5,b=-0.5"): "groups: every share must be above 0",
    (*COHORT, "--groups", "a=0.5,a=0.5"): "groups: a is given twice; give each group once",
    (*COHORT, "--groups", "a=half,b=0.5"): "groups: 'half' is not a number such as 0.2",
    (*COHORT, "--prevalence", "20"): "prevalence: must lie between 0 and 1, not 20",
    (*COHORT, "--prevalence", "0.1,0.2"): "prevalence: 2 values for 3 groups; give one for all",
    (*COHORT, "--prevalence", "0.01"): "3 patients with pathology 1 in black",
    (*COHORT, "--images-per-patient", "0.5"): "images-per-patient: must lie between 1 and 1000",
    (*COHORT, "--auc", "80"): "auc: must lie between 0.5 and 1, not 80",
    (*COHORT, "--auc", "nan"): "auc: must lie between 0.5 and 1, not nan",
    (*COHORT, "--seed-sd", "2"): "seed-sd: must be at least 0 and below 0.5, not 2",
    (*COHORT, "--model-correlation", "1"): "model-correlation: must be at least 0 and below 1",
    (*COHORT, "--lower", "blck"): "unknown group 'blck' (did you mean 'black'?)",
    (*COHORT, "--gap", "5"): "gap: must lie between 0 and 0.3 (AUC of 0.8 less 0.5), not 5",
    (*COHORT, "--repetitions", "10"): "repetitions: must be 0 (formula only) or at least 200",
    (*COHORT, "--attribute", "sex"): "--attribute needs the folder of a prepared data set",
}


@pytest.mark.parametrize(("options", "line"), REFUSED.items(), ids=map(" ".join, REFUSED))
def test_bad_input_is_one_line(options: tuple[str, ...], line: str, tmp_path: Path) -> None:
    done = run(tmp_path, *options)
    assert isinstance(done.exception, BadInput)
    assert line in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_folder_says_its_own_patients(tmp_path: Path) -> None:
    both = run(tmp_path, str(tmp_path), "--patients", "100")
    assert f"--patients cannot be combined with {tmp_path}" in str(both.exception)
    empty = run(tmp_path, str(tmp_path))
    assert "is not a prepared data set" in str(empty.exception)
