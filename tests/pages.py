"""The project's Markdown pages and the fenced blocks in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
FENCE = re.compile(r"^```(\S*)(?: +(.*?))?\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the rest of its info string and its content."""

    language: str
    info: tuple[str, ...]
    content: str

    @property
    def file(self) -> str | None:
        """The file that the block is to be written to, given as `file=NAME`."""
        names = [word.removeprefix("file=") for word in self.info if word.startswith("file=")]
        return names[0] if names else None

    @property
    def runs(self) -> bool:
        """Whether the block is marked as one that is tested."""
        return "test" in self.info


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    return [
        Block(language, tuple(shlex.split(info)), content)
        for language, info, content in FENCE.findall(page.read_text(encoding="utf-8"))
    ]


def without_blocks(page: Path) -> str:
    """A page's text outside its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}
