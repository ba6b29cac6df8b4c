"""The report: one self-contained page that escapes what it is given and hides nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis.report.page import write_report
from fairfm_core.artifacts import open_store
from sweeps.commands.report import report

VOID = {"meta", "br", "img", "link", "input", "hr"}
SHAPES = {"path", "line", "rect", "circle", "polyline"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


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
def text(results_folder: Path) -> str:
    return Path(write_report(str(results_folder))).read_text()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.mark.slow
def test_page_is_well_formed_and_loads_nothing(page: Page, text: str) -> None:
    assert all(link.startswith(("#", "data:text/csv")) for link in page.loads)
    assert not re.search(r"@import|url\(|https?://", text)
    assert page.tags.count("script") == 1
    assert page.tags.count("style") == 1


def test_every_table_has_a_caption_and_scoped_heads(text: str) -> None:
    assert text.count("<table") == text.count("<caption>") >= 5
    assert not re.search(r"<th(?![^>]*scope=)[ >]", text)


def test_claim_is_escaped(page: Page, text: str) -> None:
    assert "<script>alert" not in text
    assert "Does <script>alert('claim')</script> pre-training help & is it fair?" in page.words


def test_answer_names_front_and_worst_group(page: Page) -> None:
    assert "On the front: vit.tune and vit.probe." in page.words
    assert "vit.tune, worst group Black" in page.words
    assert "smallest sex gap and race gap" in page.words


def test_warnings_are_listed(page: Page) -> None:
    assert "cnn.tune.s1 failed: adapt: loss is NaN after step 7." in page.words
    assert "cnn.tune is based on 1 seed; missing: 1." in page.words
    assert "Edema, race Asian, val: 0 positives among" in page.words
    assert "vit.probe: test sex gap" in page.words
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
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert hostile in page.words
    assert f"Images: whole image. Training: tune: 3 epochs; {hostile}." in page.words
    assert "Differences that no axis namesepochs differ." in page.words.replace("\n", "")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_sorting_works_in_a_browser(tmp_path: Path, text: str) -> None:
    probe = """<script>
    const button = document.querySelector("#front-table thead th:nth-child(4) button");
    button.click();
    const heads = [...document.querySelectorAll("#front-table tbody th")];
    document.body.dataset.order = heads.map((head) => head.textContent.trim()).join(" ");
    </script></body>"""
    errors = "<head><script>onerror = (m) => document.documentElement.dataset.error = m</script>"
    changed = text.replace("</body>", probe).replace("<head>", errors)
    (tmp_path / "page.html").write_text(changed)
    assert CHROMIUM is not None
    flags = [
        f"--disable-{name}"
        for name in ("gpu", "quic", "background-networking", "component-update", "sync")
    ]
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--no-first-run",
        *flags,
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        (tmp_path / "page.html").as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 'data-order="cnn.tune cnn.probe vit.probe vit.tune"' in dom
    assert "data-error" not in dom
