"""What has happened in a run since somebody last asked."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from sweeps.live.names import listed


@dataclass
class News:
    """Events, in the words of a line each."""

    finished: list[str] = field(default_factory=list)
    """Names of the trials that are done."""
    failed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Names of the trials that have failed, by reason."""
    lines: list[str] = field(default_factory=list)
    """Anything else."""

    def warnings(self) -> list[str]:
        """All but the finished trials, a line each."""
        failed = [f"FAILED  {listed(names)}: {why}" for why, names in self.failed.items()]
        return self.lines + failed
