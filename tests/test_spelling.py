"""Prose is British, and a few phrases of our own making stay out of it.

Words of an interface keep their spelling: optimizer, maximize, minimize, artifact, color in code.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from .pages import ROOT, without_blocks

SCOPE = (
    *("README.md", "CHANGELOG.md", "cluster.yaml", "docs/**/*.md", "docs/**/*.py"),
    *("sweeps/studies/*.yaml", "analysis/templates/*.j2", "fairfm_core/**/*.md"),
    *("fairfm_core/**/*.py", "sweeps/**/*.py", "analysis/**/*.py", "benchmarks/**/*.py"),
)
"""Where the words are looked for; in Python in comments, docstrings, help texts and messages."""

AMERICAN = (
    *("analyz(e|es|ed|ing)", "behavior", "catalog", "center(s|ed|ing)?", "colors?", "colored"),
    *("favor(s|ed|able|ite)?", "fulfill?s", "gray(s|er)?", "labeled", "labeling", "labeler"),
    *("license[sd]?", "modeled", "modeling", "normaliz(e|es|ed|ing|ation)", "neighbors?"),
    *("optimiz(e|es|ed|ing|ation)", "recogniz(e|es|ed|ing)", "summariz(e|es|ed|ing)"),
    *("generaliz(e|es|ed|ing|ation)", "initializ(e|es|ed|ing|ation)", "unrecognized"),
    *("equalized", "canceled", "program[m]ed?s", "skeptical", "toward", "visualiz(e|es|ed|ing)"),
)
HOME_GROWN = (
    *("mend(s|ed|ing)?", "none the worse", "takes? nothing any ?more", "the way in which"),
    *("are told", "is told", "evaluate them alike", "of unlike", "loaded for certain", "presets?"),
    *("at once, for", "those that lack", "where one lacks", "in small(?=[,.):;])", "makes? alike"),
    *("no such number", "stands twice", "will not do without", "plays? no part", "for a time of"),
    *(
        "takes? no part",
        "takes? no option",
        "exclude each other",
        "do(es)? not pair",
        "is no number",
    ),
    *("made anew", "(?<!pre-)trainings"),
)
ALLOWED = (
    r"`[^`]*`",  # code
    r"https?://\S+",
    r"NIH Clinical Center",
    r"equali[sz]ed[_ ]odds",
)


def prose(file: Path) -> str:
    """A file's text without code, links and names."""
    text = READERS.get(file.suffix, Path.read_text)(file)
    for allowed in ALLOWED:
        text = re.sub(allowed, "", text)
    return text


def sentences(file: Path) -> str:
    """The comments of a Python file, and its strings of several words."""
    source = file.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    constants = (
        node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)
    )
    texts = [value for value in constants if isinstance(value, str) and " " in value.strip()]
    return "\n\n".join(comments + texts)


READERS = {".md": without_blocks, ".py": sentences}


def found(text: str, words: tuple[str, ...]) -> list[str]:
    """Every occurrence of the words, as whole words in any case, also over a line break."""
    pattern = "|".join(word.replace(" ", r"\s+") for word in words)
    return [match[0] for match in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE)]


FILES = [file for pattern in SCOPE for file in sorted(ROOT.glob(pattern))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_prose_is_british_and_idiomatic(file: Path) -> None:
    text = prose(file)
    assert not found(text, AMERICAN)
    assert not found(text, HOME_GROWN)


def test_the_words_are_seen() -> None:
    assert found("The colors of labeled centers", AMERICAN) == ["colors", "labeled", "centers"]
    assert found("they are\ntold", HOME_GROWN) == ["are\ntold"]
    assert not found("The optimizer's colour scheme maximizes", AMERICAN)


def test_the_sentences_of_code_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text('center = "gray"  # a favorite\nraise ValueError(f"{center} is told")\n')
    assert found(sentences(file), AMERICAN) == ["favorite"]
    assert found(sentences(file), HOME_GROWN) == ["is told"]
