"""Why a checkpoint does not fit a network: the common mistakes, recognised from names and shapes.

Each mistake is one function that returns a sentence or nothing; the first sentence is the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

Shape = tuple[int, ...]

SHOWN = 3
"""Names of each kind that an error lists."""
PROJECTOR = re.compile(r"(.*\.)?(head|projector|predictor|contrastive_head)\.\d+\..*")
BLOCK = re.compile(r"(?:stages\.\d+\.blocks|blocks|layers)\.\d+(?:\.\d+(?=\.[a-z]))?")
OTHER_FORMATS = {
    "base_encoder.": "mocov3",
    "decoder_blocks.": "mae",
    "encoder.layer.": "huggingface",
    "_blocks.": "efficientnet_lite",
    "standardized_conv2d": "bit",
}
"""Parts of names by which another format is recognised."""


@dataclass(frozen=True)
class Difference:
    """A network's tensors compared with a file's, by name and shape."""

    expected: dict[str, Shape]
    found: dict[str, Shape]
    dropped: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Names that only the network has."""
        return tuple(name for name in self.expected if name not in self.found)

    @cached_property
    def unexpected(self) -> tuple[str, ...]:
        """Names that only the file has."""
        return tuple(name for name in self.found if name not in self.expected)

    @cached_property
    def misshapen(self) -> tuple[str, ...]:
        """Names that both have, with unequal shapes."""
        shared = (name for name in self.expected if name in self.found)
        return tuple(name for name in shared if self.expected[name] != self.found[name])

    @property
    def fitting(self) -> int:
        """Number of the network's tensors that the file has in the right shape."""
        return len(self.expected) - len(self.missing) - len(self.misshapen)

    @property
    def equal(self) -> bool:
        """Whether the two are the same, and not both empty."""
        return bool(self.expected) and self.expected == self.found

    def text(self) -> str:
        """How many names are missing, unexpected and mis-shaped, with the first of each."""
        shaped = [f"{name} {self.found[name]} for {self.expected[name]}" for name in self.misshapen]
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "mis-shaped": shaped}
        return ", ".join(
            f"{len(names)} {kind}" + (f" ({first_names(names)})" if names else "")
            for kind, names in kinds.items()
        )


def diagnose(difference: Difference) -> str:
    """The likely mistake, in words."""
    said = (cause(difference) for cause in CAUSES)
    return next((sentence for sentence in said if sentence), "its tensors are not a match")


def first_names(names: Iterable[str]) -> str:
    """The first three names, and dots where there are more."""
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (", ..." if len(listed) > SHOWN else "")


def _decoder_only(difference: Difference) -> str:
    decoder = difference.dropped.get("decoder", ())
    alone = decoder and not difference.found
    return "it holds a decoder only, and no encoder" if alone else ""


def _another_format(difference: Difference) -> str:
    marks = [mark for mark in OTHER_FORMATS if any(mark in name for name in difference.unexpected)]
    return f"its names are those of --format {OTHER_FORMATS[marks[0]]}" if marks else ""


def _projector(difference: Difference) -> str:
    left = [name for name in difference.unexpected if PROJECTOR.fullmatch(name)]
    return f"a projector or head of several layers is left in ({left[0]})" if left else ""


def _pooling(difference: Difference) -> str:
    lacks = set(difference.missing) == {"norm.weight", "norm.bias"}
    has = "fc_norm.weight" in difference.unexpected
    return "it was fine-tuned on the mean of the patches: use pool: avg" if lacks and has else ""


def _prefix(difference: Difference) -> str:
    """Names that end in the network's names, all after the same prefix."""
    missing = set(difference.missing)
    ends = [(name, end) for name in difference.unexpected for end in _ends(name) if end in missing]
    prefixes = {name.removesuffix(end) for name, end in ends}
    same = len(prefixes) == 1 and len(ends) == len(missing)
    return f"its names begin with {prefixes.pop()!r}" if same else ""


def _ends(name: str) -> Iterable[str]:
    parts = name.split(".")
    return (".".join(parts[start:]) for start in range(1, len(parts)))


def _depth(difference: Difference) -> str:
    """Whole blocks are missing or surplus, and no other name is wrong."""
    has, needs = _blocks(difference.found), _blocks(difference.expected)
    odd = has ^ needs
    others = [*difference.missing, *difference.unexpected]
    apart = odd and all(_block(name) in odd for name in others)
    return f"another depth: it has {len(has)} blocks, the network {len(needs)}" if apart else ""


def _blocks(names: Iterable[str]) -> set[str]:
    return {block for name in names if (block := _block(name))}


def _block(name: str) -> str:
    found = BLOCK.match(name)
    return found[0] if found else ""


def _image_size(difference: Difference) -> str:
    only = difference.misshapen == ("pos_embed",) and not difference.missing
    return "it was trained on images of another size" if only else ""


def _width(difference: Difference) -> str:
    shared = len(difference.expected) - len(difference.missing)
    return "another width or patch size" if 2 * len(difference.misshapen) > shared else ""


def _renamed(difference: Difference) -> str:
    missing = sorted(difference.expected[name] for name in difference.missing)
    unexpected = sorted(difference.found[name] for name in difference.unexpected)
    return "tensors were renamed" if missing and missing == unexpected else ""


def _incomplete(difference: Difference) -> str:
    only = difference.missing and not (difference.unexpected or difference.misshapen)
    return "it is incomplete" if only else ""


CAUSES: tuple[Callable[[Difference], str], ...] = (
    _decoder_only,
    _another_format,
    _projector,
    _pooling,
    _prefix,
    _depth,
    _image_size,
    _width,
    _renamed,
    _incomplete,
)
