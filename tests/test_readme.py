"""The marked blocks of the README, the tutorial and the how-to pages run as they stand.

A block marked `file=NAME` is written to that file, one marked `test` is run, and what stands in one
marked `prints` is printed, `...` apart. Pages of one journey share a folder, in order: the how-to
pages go on where the tutorial ends. Each `fairfm` is a fork of one process that has imported
everything.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .one_core import ONE_CORE
from .pages import PAGES, ROOT, blocks
from .warm.starting import warm_fairfm

JOURNEYS: dict[str, tuple[str, ...]] = {
    "readme": ("README.md",),
    "tutorial": (
        "docs/tutorial.md",
        "docs/how-to/compare-models.md",
        "docs/how-to/resume.md",
        "docs/how-to/results-folder.md",
        "docs/how-to/mlflow-outage.md",
        "docs/how-to/pre-training.md",
        "docs/how-to/cluster.md",
    ),
    "own images": (
        "docs/first-hour.md",
        "docs/how-to/own-images.md",
        "docs/how-to/published-model.md",
    ),
    "predictions": ("docs/how-to/evaluate-predictions.md", "docs/how-to/power.md"),
}
LEFT = {
    "readme": ["results/studies/first/report.html", "compared/comparisons.parquet"],
    "tutorial": [
        "results/studies/tutorial/front.svg",
        "compared/comparisons.parquet",
        "rebuilt.db",
    ],
    "own images": [
        "results/studies/hospitals/report.html",
        "data/clinic/cohort.parquet",
        "weights/effnet.safetensors",
    ],
    "predictions": [
        "evaluated/gaps.parquet",
        "evaluated/report.html",
        "ensembles/ensemble.parquet",
        "power/power_figure.svg",
    ],
}
SAID = {
    "readme": "8 of 8 trials done",
    "tutorial": "4 of 4 trials done",
    "own images": "4 of 4 trials done",
}


def script(page: str) -> str:
    """The page's marked blocks as one shell script."""
    lines = []
    for number, block in enumerate(blocks(ROOT / page)):
        end = f"END_OF_BLOCK_{number}"
        if block.file is not None:
            lines += [f"mkdir -p $(dirname {block.file})", f"cat > {block.file} <<'{end}'"]
            lines += [block.content + end]
        elif block.runs and block.language == "python":
            lines += [f"\"$PYTHON\" - <<'{end}'", block.content + end]
        elif block.runs:
            assert block.language == "sh", f"{page}: no way to run {block.language}"
            lines.append(block.content)
    return "\n".join(lines)


def sample(shown: str) -> str:
    """A pattern of output that is shown with `...` for what is left out: lines, or part of one."""
    lines = ["(?:.*\n)*?" if line == "..." else line_of(line) for line in shown.splitlines()]
    return "^" + "".join(lines)


def line_of(shown: str) -> str:
    return re.escape(shown).replace(re.escape("..."), ".*") + "\n"


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("journey", JOURNEYS)
def test_the_marked_blocks_run(journey: str, tmp_path: Path) -> None:
    steps = [f'fairfm() {{ {shlex.join(warm_fairfm())} "$@"; }}', *map(script, JOURNEYS[journey])]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(steps)],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
        | ({} if journey == "readme" else ONE_CORE),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert SAID.get(journey, "") in done.stdout
    assert not [name for name in LEFT[journey] if not (tmp_path / name).exists()]
    shown = [b for page in JOURNEYS[journey] for b in blocks(ROOT / page) if "prints" in b.info]
    for block in shown:
        assert re.search(sample(block.content), done.stdout, re.MULTILINE), block.content


def test_every_marked_block_belongs_to_a_journey() -> None:
    walked = {page for pages in JOURNEYS.values() for page in pages}
    marked = {
        str(page.relative_to(ROOT)) for page in PAGES if any(block.runs for block in blocks(page))
    }
    assert marked == walked


def test_the_readme_is_short_and_opens_with_a_front() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 90
    assert "front:" in "\n".join(text.splitlines()[:24])


def test_a_sample_that_is_not_printed_is_seen() -> None:
    printed = "first\n  second 2 of 3\nthird\nfourth\n"
    assert re.search(sample("first\n...\nthird\n"), printed, re.MULTILINE)
    assert re.search(sample("  second ...\nthird\n"), printed, re.MULTILINE)
    assert not re.search(sample("first\nthird\n"), printed, re.MULTILINE)
    assert not re.search(sample("second 2 of 3\n"), printed, re.MULTILINE)
