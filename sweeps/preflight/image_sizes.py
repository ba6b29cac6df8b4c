"""Whether networks enlarge the stored images."""

from __future__ import annotations

from pathlib import Path

from fairfm_core.data.node_copy import manifest_of
from sweeps.planning.plan import StudyPlan
from sweeps.preflight.findings import StudyFindings, joined

MOST_ENLARGED = 10
"""How many times its side an image may be enlarged: beyond that a size is a mistake."""


def size_findings(plan: StudyPlan) -> StudyFindings:
    """Refuses an absurd image size, and warns where images are enlarged."""
    seen = {
        (data.folder.name, data.manifest.size, trial.trial.backbone.image_size)
        for trial in plan.trials
        for data in (plan.data_of(trial),)
    }
    seen |= {
        (Path(corpus).name, manifest_of(corpus).size, trial.trial.backbone.image_size)
        for trial in plan.trials
        if trial.trial.pretraining is not None
        for corpus in trial.trial.pretraining.corpora
    }
    return joined(_findings(*each) for each in sorted(seen))


def _findings(name: str, stored: int, side: int) -> StudyFindings:
    if side <= stored:
        return StudyFindings()
    if side > MOST_ENLARGED * stored:
        return StudyFindings(
            refusals=(
                f"backbone.image_size {side} enlarges the {stored} px stored in {name} "
                f"{side / stored:.0f} times: use at most {MOST_ENLARGED * stored}, or prepare the "
                "data with a larger --size",
            )
        )
    return StudyFindings(
        warnings=(
            f"{name} is stored as {stored} px and enlarged to {side}: no more is seen, and each "
            f"image costs {(side / stored) ** 2:.1f} times as much; prepare it with --size {side}",
        )
    )
