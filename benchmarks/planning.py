"""What `fairfm sweep plan` costs as a study grows: processor time and memory of the whole command.

The first time is that of a machine that has not been asked about the study's network before; then
torch is imported, and the answer is kept.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml

from benchmarks.commands import command_cost
from benchmarks.sizes import sized

SIZES = sized(((3, 3, 2, 1.5), (25, 20, 20, 4.0), (50, 50, 40, 40.0)), ((2, 2, 2, 1.5),))
"""Learning rates, weight decays, seeds, and the goal in seconds of processor time."""
GOAL_BYTES = 1e9
PREPARE = "data prepare phantom unfair --out phantom --size 32 --patients 2400"


def bench_planning() -> bool:
    """Print processor time and memory of the plans of three studies; whether the goals are met."""
    met = True
    with tempfile.TemporaryDirectory() as folder:
        command_cost(folder, PREPARE)
        _plan_cost(folder, _study(3, 3, 2))  # compiles, and asks about the network
        print("fairfm sweep plan, seconds of processor time, and memory at its largest:")
        for *axes, goal in SIZES:
            seconds, size = _plan_cost(folder, _study(*map(int, axes)))
            trials = int(axes[0] * axes[1] * axes[2])
            print(f"  {trials:7,} trials {seconds:6.1f} s {size / 1e6:6.0f} MB  (goal: {goal:g} s)")
            met &= seconds <= goal and size < GOAL_BYTES
    return met


def _study(rates: int, decays: int, seeds: int) -> dict[str, object]:
    return {
        "study": "large",
        "base": {
            "data": {"dataset": "phantom"},
            "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
            "adaptation": {"method": "linear_probe", "recipe": "smoke"},
        },
        "matrix": {
            "adaptation.lr": [float(f"{1e-3 * 1.1**n:.6g}") for n in range(rates)],
            "adaptation.weight_decay": [float(f"{1e-5 * 1.2**n:.6g}") for n in range(decays)],
        },
        "seeds": list(range(seeds)),
        "evaluation": {"attributes": ["sex"]},
        "objectives": [
            {"metric": "val/auc", "goal": "maximize"},
            {"metric": "val/gap_sex", "goal": "minimize"},
        ],
    }


def _plan_cost(folder: str, study: dict[str, object]) -> tuple[float, int]:
    """Seconds of processor time and largest memory in bytes of one plan."""
    (Path(folder) / "study.yaml").write_text(yaml.safe_dump(study))
    return command_cost(folder, "sweep plan study.yaml")
