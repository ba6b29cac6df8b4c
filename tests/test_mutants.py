"""The mutation check makes the changes that it says, and its lists name what exists."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from .mutants.mutations import mutants

ROOT = Path(__file__).parents[1]
HERE = ROOT / "tests" / "mutants"
SOURCE = '''
"""A module."""
LIMIT = 0.5

def clipped(value: int = 3, *, least=None) -> float:
    """Left alone."""
    if value < LIMIT and not least:
        raise ValueError(f"value {value + 1}: give more")
    return max(value, round(least, ndigits=2))
'''


def names() -> set[str]:
    return {mutant.name for mutant in mutants(SOURCE, "module.py")}


@pytest.mark.parametrize(
    "name",
    [
        "module: 0.5 -> 1.0 in LIMIT = 0.5",
        "clipped: 3 -> 4 in def clipped(value: int=3, *, least=None) -> float:",
        "clipped: value < LIMIT -> value >= LIMIT in if value < LIMIT and (not least):",
        "clipped: value < LIMIT -> value <= LIMIT in if value < LIMIT and (not least):",
        "clipped: not least -> least in if value < LIMIT and (not least):",
        "clipped: max -> min in return max(value, round(least, ndigits=2))",
        "clipped: round without ndigits=2 in return max(value, round(least, ndigits=2))",
        "clipped: return max(value, round(least, ndigits=2)) -> return None in return max(value, "
        "round(least, ndigits=2))",
    ],
)
def test_a_change_is_made_and_named(name: str) -> None:
    assert name in names()


def test_messages_docstrings_and_annotations_stay() -> None:
    assert not [name for name in names() if "ValueError" in name or "module." in name]
    assert len(names()) == 11


def test_each_mutant_is_one_change() -> None:
    unchanged = compile(SOURCE, "module.py", "exec")
    codes = [mutant.code for mutant in mutants(SOURCE, "module.py")]
    assert unchanged not in codes
    assert len({*codes}) == len(codes)


@pytest.mark.slow
def test_the_lists_name_what_exists() -> None:
    watched = yaml.safe_load((HERE / "modules.yaml").read_text())
    reasons = yaml.safe_load((HERE / "survivors.yaml").read_text())
    assert reasons.keys() <= watched.keys()
    for module, tests in watched.items():
        file = ROOT / Path(*module.split(".")).with_suffix(".py")
        made = {mutant.name for mutant in mutants(file.read_text(), str(file))}
        assert not reasons.get(module, {}).keys() - made
        assert not [test for test in tests if not (ROOT / "tests" / test).is_file()]
