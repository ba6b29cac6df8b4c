"""What is wrong with a study before it starts, and the verdict on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fairfm_core.errors import BadInput


@dataclass(frozen=True)
class StudyFindings:
    """Reasons not to start a study, and what its user should know before starting it."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """`runs`, `runs with warnings (2)` or `refused`."""
        if self.refusals:
            return "refused"
        return f"runs with warnings ({len(self.warnings)})" if self.warnings else "runs"

    def as_json(self) -> dict[str, str | list[str]]:
        """Verdict, refusals and warnings as JSON values."""
        found = {"refusals": list(self.refusals), "warnings": list(self.warnings)}
        return {"verdict": self.verdict, **found}

    def check(self) -> None:
        """Raise BadInput, one line that names every reason, for a study that is refused."""
        if self.refusals:
            raise BadInput("; ".join(self.refusals))


def joined(findings: Iterable[StudyFindings]) -> StudyFindings:
    """All findings together, each of them once."""
    each = list(findings)
    return StudyFindings(
        tuple(dict.fromkeys(line for one in each for line in one.refusals)),
        tuple(dict.fromkeys(line for one in each for line in one.warnings)),
    )
