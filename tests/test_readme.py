"""The marked blocks of the README run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(mark: str) -> list[str]:
    """Contents of the README's fenced blocks with this info string."""
    text = (ROOT / "README.md").read_text()
    return re.findall(rf"^```{re.escape(mark)}\n(.*?)^```$", text, flags=re.M | re.S)


@pytest.mark.slow
@pytest.mark.ray
def test_the_shell_blocks_run(tmp_path: Path) -> None:
    study, shell = blocks("yaml readme-study"), blocks("sh readme-test")
    assert (len(study), len(shell)) == (1, 3)
    (tmp_path / "study.yaml").write_text(study[0])
    script = 'fairfm() { "$PYTHON" -m sweeps "$@"; }\n' + "\n".join(shell)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 trials done" in done.stdout
    assert (tmp_path / "results/studies/first/report.html").exists()
    assert (tmp_path / "evaluated/gaps.parquet").exists()


def test_every_file_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)(?:#([^)]+))?\)", (ROOT / "README.md").read_text())
    assert links
    assert not [link for link, _ in links if not (ROOT / link).exists()]
    assert not [(link, at) for link, at in links if at and at not in anchors(ROOT / link)]


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def test_every_command_of_the_readme_is_known() -> None:
    from sweeps.cli import COMMANDS

    named = set(re.findall(r"fairfm ([a-z]+)", (ROOT / "README.md").read_text()))
    assert named - {"is"} <= COMMANDS.keys()
