"""What the names of several trials have in common."""

from __future__ import annotations

from collections.abc import Sequence

ANY = "*"


def common_name(names: Sequence[str]) -> str:
    """One name for all: `tune.standard.s0`, `tune.*.s0 (4 trials)`, or `4 trials`."""
    if len(names) == 1:
        return names[0]
    split = [name.split(".") for name in names]
    parts: list[str] = []
    if len({len(each) for each in split}) == 1:
        for each in zip(*split, strict=True):
            part = each[0] if len(set(each)) == 1 else ANY
            if part != ANY or parts[-1:] != [ANY]:
                parts.append(part)
    same = ".".join(parts) if set(parts) - {ANY} else ""
    return f"{same} ({len(names)} trials)" if same else f"{len(names)} trials"


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest:,} more"
