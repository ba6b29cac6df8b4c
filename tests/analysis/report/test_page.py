"""The report: one self-contained page that escapes what it is given and hides nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from analysis.front.configuration_names import names_of
from analysis.front.study_analysis import analyse_study
from analysis.report.page import report_html, write_report
from analysis.results.replicates import StudyNumbers
from analysis.results.results import Configuration, TrialResult, open_results
from fairfm_core.artifacts import open_store
from fairfm_core.evaluation.tables import Row
from sweeps.commands.report import report

VOID = {"meta", "br", "img", "link", "input", "hr"}
SHAPES = {"path", "line", "rect", "circle", "polyline"}
SCRIPTS = 2
"""The packed data and the script that unpacks them."""


class Page(HTMLParser):
    """Checks nesting and collects texts and what the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        held = dict(attrs)
        self.loads += [
            held[name] or "" for name in ("src", "href", "data", "srcset") if name in held
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SHAPES

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words += data


@pytest.fixture(scope="module")
def asked() -> set[str]:
    """The numbers whose paired differences the page has asked for."""
    return set()


@pytest.fixture(scope="module")
def text(results_folder: Path, asked: set[str]) -> str:
    difference = StudyNumbers.difference

    def noted(of: StudyNumbers, first: str, other: str, split: str, name: str) -> Row | None:
        asked.add(name)
        return difference(of, first, other, split, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StudyNumbers, "difference", noted)
        return Path(write_report(str(results_folder))).read_text()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.mark.slow
@pytest.mark.usefixtures("text")
def test_differences_are_of_numbers_whose_draws_are_stored(
    results_folder: Path, asked: set[str]
) -> None:
    # of others every seed would be evaluated again, half a second each
    assert "auc" in asked
    assert asked <= set(open_results(str(results_folder)).number_table.names)


@pytest.mark.slow
def test_page_is_well_formed_and_loads_nothing(page: Page, text: str) -> None:
    assert all(link.startswith("#") for link in page.loads)
    assert not re.search(r"@import|url\(|https?://", text)
    assert page.tags.count("script") == SCRIPTS
    assert page.tags.count("style") == 1


def test_every_table_has_a_caption_and_scoped_heads(text: str) -> None:
    assert text.count("<table") == text.count("<caption>") >= 5
    assert not re.search(r"<th(?![^>]*scope=)[ >]", text)


def test_claim_is_escaped(page: Page, text: str) -> None:
    assert "<script>alert" not in text
    assert "Does <script>alert('claim')</script> pre-training help & is it fair?" in page.words


def test_what_was_asked_and_answered_comes_first(page: Page) -> None:
    words = " ".join(page.words.split())
    assert words.index("Asked") < words.index("Answered") < words.index("The front")
    assert "2 of 4 configurations (1 kept out, reasons below) are on the front" in words
    assert "Highest AUC 1 Adaptation tune, backbone vit" in words
    assert "Smallest sex gap, Smallest race gap 2 Adaptation probe, backbone vit" in words
    assert "Adaptation tune, backbone vit, worst group Black" in words


def test_warnings_are_listed(page: Page) -> None:
    assert "cnn.tune.s1 failed: adapt: loss is NaN after step 7." in page.words
    assert "Adaptation tune, backbone cnn is based on 1 seed; missing: 1." in page.words
    assert "Edema, race Asian, val: 0 positives among" in page.words
    assert "Adaptation probe, backbone vit: test sex gap" in page.words
    assert "several data sets" in page.words
    assert "7 done, 1 failed, 0 unfinished" in page.words


def test_what_trained_the_trials_is_named(page: Page) -> None:
    assert "<A10G>, bf16, AMD EPYC (1 trial); cpu, fp32, AMD EPYC (1 trial)" in page.words
    assert "vit.probe: its seeds were trained on <A10G> in bf16 and cpu in fp32." in page.words


def test_a_record_of_an_earlier_version_says_nothing_of_images(page: Page) -> None:
    assert "Not recorded by the version that ran the study." in page.words


def test_values_carry_intervals(page: Page) -> None:
    assert re.search(r"\d\d\.\d \(\d\d\.\d–\d\d\.\d\)", page.words)
    assert "test split, protocol full, in points (1 point = 0.01); 95 % intervals" in page.words


@pytest.mark.slow
def test_report_is_the_same_twice(results_folder: Path, text: str) -> None:
    ran = CliRunner().invoke(report, [str(results_folder)])
    assert ran.exit_code == 0
    assert Path(ran.output.strip()).read_text() == text


@pytest.mark.slow
def test_hostile_names_are_escaped(
    tmp_path: Path, results_folder: Path, study_json: Callable[..., dict[str, object]]
) -> None:
    hostile = '"><script>alert(1)<'
    folder = tmp_path / "results"
    shutil.copytree(results_folder, folder)
    terms = {"images": ["whole image"], "training": ["tune: 3 epochs"], "notes": [hostile]}
    record = study_json(claim=hostile, comparison={**terms, "warnings": ["epochs differ"]})
    for trial in record["trials"]:  # type: ignore[attr-defined]
        trial["name"] = trial["name"].replace("vit", "<img src=x>$_")
        trial["axes"]["backbone"] = trial["axes"]["backbone"].replace("vit", "<img src=x>$_")
    store = open_store(str(folder))
    store.write_json(record, "studies", "tiny", "study.json")
    page = Page(Path(write_report(str(folder), "tiny")).read_text())
    assert page.tags.count("script") == SCRIPTS
    assert "img" not in page.tags
    assert hostile in page.words
    assert f"Images: whole image. Training: tune: 3 epochs; {hostile}." in page.words
    assert "Differences that no axis namesepochs differ." in page.words.replace("\n", "")


def test_a_thousand_trials_stay_a_small_page(results_folder: Path) -> None:
    """Every configuration once more under 250 names, in a page below 2 MB."""
    analysis = analyse_study(str(results_folder))
    front, results = analysis.front, analysis.results
    copies = range(250)
    table = pd.concat([front.table.assign(label=front.table["label"] + f".{n}") for n in copies])
    words = {f"{label}.{n}": f"{name} {n}" for label, name in front.words.items() for n in copies}
    front = replace(front, table=table.sort_values("on_front", ascending=False), words=words)
    text = report_html(results, analysis.evaluations, front, analysis.numbers)
    assert len(front.rows) == 1000
    assert len(text.encode()) < 2_000_000
    assert "The first 50 of 1000 rows" in text


def test_words_of_a_configuration_say_what_its_values_are() -> None:
    trial = TrialResult("a.s0", {}, 0, "g", "f", "f", "d", "u_zeros", True, None)
    config = {
        "backbone": {"name": "vit"},
        "adaptation": {"method": "linear_probe", "loss": {"name": "bce"}},
        "data": {"sampling": "balanced", "balance": ["race", "sex"]},
        "pretraining": {"method": "mae", "corpora": ["cx14", "cxpt"]},
        "weights": None,
    }
    both = {"weights.pretraining.corpora": "medical", "adaptation": "probe", "data.lr": "3"}
    older = {"method": "linear_probe", "loss": "bce"}
    scratch = {**config, "adaptation": older, "pretraining": None, "weights": "scratch"}
    made = names_of(
        [
            (Configuration("g", "a", both, (trial,)), config),
            (Configuration("h", "b", {"include": "b"}, (trial,)), scratch),
            (Configuration("i", "c", {"include": "c"}, (trial,)), scratch),
        ]
    )
    start = "MAE pre-trained on medical images (cx14 and cxpt)"
    assert made["a"] == f"{start}, lr 3"
    assert made["b"] == "Trained from scratch [b]"
    assert made["c"] == "Trained from scratch [c]"
