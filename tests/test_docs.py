"""The pages: links and file names are right, and the site builds without a warning or a network."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import sphinx

from .pages import PAGES, ROOT, anchors, blocks, without_blocks
from .test_architecture import ORDER
from .warm.starting import warm_python

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"'](?:https?:)?//"
    r"|<link\b[^>]*\brel=[\"'](?:stylesheet|preload|preconnect|icon)[\"'][^>]*\bhref=[\"'](?:https?:)?//"
    r"|@import\s+[\"'(url]*(?:https?:)?//|url\([\"']?(?:https?:)?//"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for file, anchor in LINK.findall(without_blocks(page)):
        target = page.parent / file if file else page
        if not target.exists():
            lost.append(file)
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            lost.append(f"{file}#{anchor}")
    assert not lost


def test_every_module_that_a_page_names_exists() -> None:
    known = [file.relative_to(ROOT).as_posix() for file in ROOT.rglob("*.py")]
    ends = {name[at:] for name in known for at in starts(name)}
    wrong = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in re.findall(r"`((?:[\w.]+/)*\w+\.py)`", without_blocks(page))
        if name not in ends
    ]
    assert not wrong


def starts(path: str) -> list[int]:
    """Where each part of a path begins."""
    return [0, *(match.end() for match in re.finditer("/", path))]


def test_every_command_that_a_page_names_exists() -> None:
    from sweeps.cli import COMMANDS

    code = r"^(?:\$ )?fairfm ([a-z]+)|`fairfm ([a-z]+)"
    named = {
        (page.name, first or second)
        for page in PAGES
        for first, second in re.findall(code, page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    taught = {
        name
        for block in blocks(ROOT / "docs/extending.md")
        if block.file == "sweeps/cli.py"
        for name in re.findall(r'^ +"(\w+)": \(', block.content, re.MULTILINE)
    }
    assert taught
    assert not sorted(pair for pair in named if pair[1] not in COMMANDS.keys() | taught)


def test_every_package_has_a_page_in_the_reference() -> None:
    pages = (ROOT / "docs/reference/python").glob("*.md")
    listed = {
        name for page in pages for b in blocks(page) if "rooms" in b.language for name in b.info
    }
    folders = [folder.name for folder in (ROOT / "fairfm_core").iterdir() if folder.is_dir()]
    wanted = {f"fairfm_core.{name}" for name in folders if name not in ("commands", "__pycache__")}
    assert wanted | {"fairfm_core.*", "analysis", "sweeps"} == listed


def test_the_map_shows_every_room() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = [room.split(".")[-1] for package in ORDER.values() for room in package.split()]
    assert not [room for room in rooms if f"`{room}`" not in text]


# What stands in docstrings takes a minute of a core: `make docs` and `make chaos` build it.
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "tags",
    [("--tag", "no_modules"), pytest.param((), marks=pytest.mark.chaos)],
    ids=["pages", "modules"],
)
def test_the_site_builds_without_warnings_and_loads_nothing_from_elsewhere(
    tmp_path: Path, tags: tuple[str, ...]
) -> None:
    build = Path(sphinx.__file__).with_name("__main__.py")
    command = [*warm_python(), build, "--fail-on-warning", "--keep-going", "--quiet", *tags]
    places = ["--doctree-dir", str(tmp_path / "doctrees"), "docs", str(tmp_path / "site")]
    done = subprocess.run(
        [*command, *places], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    built = [file for end in ("html", "css") for file in (tmp_path / "site").rglob(f"*.{end}")]
    assert len(built) > 20
    assert not [f.name for f in built if LOADED.search(f.read_text(encoding="utf-8"))]
    study = (tmp_path / "site/reference/study.html").read_text()
    assert "layer_decay_granularity" in study
    assert "--split-list" in (tmp_path / "site/reference/commands.html").read_text()


def test_a_load_from_elsewhere_is_seen() -> None:
    assert LOADED.search('<script src="https://cdn.example/x.js"></script>')
    assert LOADED.search('<link rel="stylesheet" href="//fonts.example/css">')
    assert LOADED.search("@font-face { src: url(https://fonts.example/a.woff2) }")
    assert not LOADED.search('<a href="https://example.org">a link is no load</a>')
