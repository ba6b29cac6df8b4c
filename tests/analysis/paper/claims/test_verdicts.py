"""The paper's claims: verdicts in constructed cases, estimates against the tables they rest on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.paper.answers import PaperAnswers, PaperRequest
from analysis.paper.claims.records import CLAIMS
from analysis.paper.claims.texts import claims_files
from analysis.paper.claims.verdicts import (
    CONTRADICTED,
    NOT_RUN,
    OPEN,
    SUPPORTED,
    claim_verdict,
    claims_frame,
    contrast_verdict,
    judged_claims,
)
from analysis.paper.contrasts import too_few_draws
from analysis.paper.items import TABLE2, TABLE6
from analysis.paper.outputs import open_answers
from analysis.paper.tables import paper_table


@pytest.fixture(scope="module")
def answers(paper_results: Path) -> PaperAnswers:
    return open_answers(str(paper_results), PaperRequest())


@pytest.fixture(scope="module")
def frame(answers: PaperAnswers) -> pd.DataFrame:
    """The claims of the folder with all models."""
    return claims_frame(judged_claims(answers))


@pytest.mark.parametrize(
    ("sign", "difference", "p", "verdict"),
    [
        (1, 0.02, 0.01, SUPPORTED),
        (-1, -0.02, 0.01, SUPPORTED),
        (1, -0.02, 0.01, CONTRADICTED),
        (-1, 0.02, 0.049, CONTRADICTED),
        (1, 0.02, 0.05, OPEN),
        (1, 0.02, None, OPEN),
        (1, None, None, OPEN),
        (0, 0.02, 0.01, CONTRADICTED),
        (0, 0.02, 0.5, OPEN),
    ],
)
def test_a_contrast(sign: int, difference: float | None, p: float | None, verdict: str) -> None:
    assert contrast_verdict(sign, difference, p, 0.05) == verdict


@pytest.mark.parametrize(
    ("contrasts", "verdict"),
    [
        ([SUPPORTED, SUPPORTED], SUPPORTED),
        ([SUPPORTED, OPEN], OPEN),
        ([SUPPORTED, NOT_RUN], OPEN),
        ([SUPPORTED, CONTRADICTED], CONTRADICTED),
        ([NOT_RUN, NOT_RUN], NOT_RUN),
    ],
)
def test_a_claim(contrasts: list[str], verdict: str) -> None:
    assert claim_verdict(contrasts) == verdict


def test_all_ten_claims_are_judged(frame: pd.DataFrame) -> None:
    assert list(frame["claim"].unique()) == list(range(1, 11))
    assert len(frame) == sum(len(claim.contrasts) for claim in CLAIMS)
    assert set(frame["verdict"]) <= {SUPPORTED, CONTRADICTED, OPEN}


def test_differences_are_those_of_the_tables(frame: pd.DataFrame, answers: PaperAnswers) -> None:
    found = frame.set_index(["claim", "contrast", "number"])["difference"]
    trend = paper_table(TABLE2, answers).tests.set_index(["kind", "number"])["difference"]
    probed = paper_table(TABLE6, answers).tests.set_index(["a", "b", "number"])["difference"]
    for number in ("auc", "gap_sex", "gap_race"):
        expected = trend["trend", number]
        assert found[5, "more data", number] == pytest.approx(expected, abs=1e-12)
        expected = probed["MAE, fine-tuned", "MAE, linear probe", number]
        assert found[9, "MAE: fine-tuned − linear probe", number] == pytest.approx(
            expected, abs=1e-12
        )


def test_groups_are_those_of_the_stored_differences(
    frame: pd.DataFrame, answers: PaperAnswers
) -> None:
    table = answers.six["BiT"].evaluation.differences
    rows = table[(table["metric"] == "auc") & (table["split"] == "test")]
    rows = rows.set_index(["pathology", "group", "reference"])
    found = frame.set_index(["claim", "contrast"])
    black = rows.loc[("mean", "Black", "overall")]
    assert found.loc[(8, "BiT: Black − everybody"), "difference"] == black["value"]
    sexes = rows.loc[("Pleural Effusion", "F", "M")]
    row = found.loc[(7, "BiT, Pleural Effusion: F − M")]
    assert (row["difference"], row["lo"], row["hi"]) == tuple(sexes[["value", "lo", "hi"]])


def test_a_difference_that_is_stored_the_other_way_round_is_turned() -> None:
    from analysis.paper.claims.verdicts import _group_row

    stored = {"value": 0.1, "lo": -0.1, "hi": 0.4, "p_value": 0.3, "reason": None}
    turned = _group_row(stored, -1, 0.95)
    assert (turned["difference"], turned["lo"], turned["hi"]) == (-0.1, -0.4, 0.1)
    assert turned["detectable"] == pytest.approx(0.25 * (1.959964 + 0.841621) / 1.959964)
    narrow = _group_row(stored, 1, 0.9)  # of the same width, so the error is larger
    assert narrow["detectable"] == pytest.approx(0.25 * (1.644854 + 0.841621) / 1.644854)


def test_the_texts_hold_every_claim(answers: PaperAnswers) -> None:
    text, files = claims_files("claims", answers)
    assert set(files) == {"claims.csv", "claims.md", "claims.tex"}
    for claim in CLAIMS:
        assert f"{claim.number}. " in text
    assert "no proof of a tie" in files["claims.tex"].decode()


def test_too_few_draws_for_a_claim_are_said(answers: PaperAnswers) -> None:
    seventh = judged_claims(answers)[6].rows
    assert too_few_draws(seventh, 200, 0.05, "Claim 7") == (
        "Claim 7 cannot be told with 200 draws: the p of a gap or a group is 1/201 at least,"
        " times 12 tests; set evaluation.replicates to 240 or more."
    )
    assert too_few_draws(seventh, 240, 0.05, "Claim 7") is None
    text, _ = claims_files("claims", answers)
    assert "Claim 7 cannot be told with 20 draws" in text


def test_tests_with_a_smaller_p_leave_fewer_to_correct_for() -> None:
    gaps = [{"number": "gap_race", "p_value": 0.2}] * 5
    aucs = [{"number": "auc", "p_value": 1e-6}] * 20
    assert "times 5 tests" in str(too_few_draws([*gaps, *aucs], 99, 0.05, "A gap"))
    assert too_few_draws([*gaps, *aucs], 100, 0.05, "A gap") is None
    assert too_few_draws(aucs, 5, 0.05, "A gap") is None
