"""Each line of the gallery of messages is what the program prints, to the letter.

A block marked `says` holds keys that change the file which its command names, then commands, each
after `$ `, of which the last is fairfm's, and then what that one prints: all of its error, or lines
of its output.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from fairfm_core.yaml_text import StrictLoader
from tests.pages import ROOT, Block, blocks

from ..command_line import Command, Said

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs/reference/messages.md"
FILES = {block.file: block.content for block in blocks(PAGE) if block.file is not None}
SAYS = [block for block in blocks(PAGE) if "says" in block.info]
PROGRESS = re.compile(r"images, \d+ per second")
PROMPT = "$ "
HOME = "/home/me"
PYTHON = f'python() {{ "{sys.executable}" "$@"; }}'


@pytest.fixture
def desk(tmp_path: Path, radiographs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the page begins with: two YAML files, images and a prepared data set."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    shutil.copytree(radiographs, tmp_path / "data/phantom")
    write_clinic(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sweeps.preflight.machine.allowed_cores", lambda: 8)
    monkeypatch.setattr("sweeps.preflight.machine._gpu_memory", tuple)
    return tmp_path


def write_clinic(folder: Path) -> None:
    """60 noisy images of 30 patients, and clinic.csv."""
    rng, rows = np.random.default_rng(0), ["file,person,gender,years,edema"]
    (folder / "photos").mkdir()
    for number in range(60):
        pixels = rng.normal(120, 40, (40, 40)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"photos/{number}.png")
        person, gender = number // 2, ("F", "M")[number // 2 % 2]
        rows.append(f"{number}.png,p{person},{gender},{30 + person},{number % 3 // 2}")
    (folder / "clinic.csv").write_text("\n".join(rows) + "\n")


def parts(block: Block) -> tuple[str, list[str], list[str]]:
    """The changed keys, the commands and the expected lines of a block."""
    lines = iter(block.content.splitlines())
    changes = list(itertools.takewhile(lambda line: not line.startswith(PROMPT), lines))
    rest = block.content.splitlines()[len(changes) :]
    commands = [line.removeprefix(PROMPT) for line in rest if line.startswith(PROMPT)]
    return "\n".join(changes), commands, [line for line in rest if not line.startswith(PROMPT)]


def laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`, mapping by mapping; a new key is the first, so that its line is 1."""
    merged = {**{key: None for key in above if key not in below}, **below}
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = laid_over(below[key], value) if both else value
    return merged


def say(block: Block, fairfm: Command) -> Said:
    """What a block's command prints in the current folder."""
    changes, commands, _ = parts(block)
    *before, command = commands
    words = command.split()
    if changes:
        (name,) = [word for word in words if word in FILES]
        values = laid_over(*(yaml.load(text, StrictLoader) for text in (FILES[name], changes)))
        Path(name).write_text(yaml.safe_dump(values, sort_keys=False))
    for line in before:
        subprocess.run(["bash", "-euc", f"{PYTHON}\n{line}"], check=True)
    assert words[0] == "fairfm"
    return fairfm(*words[1:])


def lines(text: str, folder: Path) -> list[str]:
    """Lines that were printed, as those of a user whose folder is HOME; without the progress of
    what takes long on a slow machine."""
    printed = (line.strip() for line in text.replace(str(folder), HOME).splitlines())
    return [line for line in printed if not PROGRESS.search(line)]


@pytest.mark.parametrize("block", SAYS, ids=lambda block: " ".join(parts(block)[2])[:60])
def test_a_line_of_the_page_is_what_is_printed(desk: Path, fairfm: Command, block: Block) -> None:
    said, expected = say(block, fairfm), parts(block)[2]
    if said.code == 2:
        assert lines(said.err, desk) == expected
    else:
        assert expected
        assert not set(expected) - set(lines(said.out, desk)), said.out


def test_every_block_of_the_page_is_tested() -> None:
    others = [block for block in blocks(PAGE) if block not in SAYS and block.file is None]
    assert not others
    assert len(SAYS) >= 40
