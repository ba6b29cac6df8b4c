"""The study that every fault is tried on: small enough to be run again and again.

Six trials of three kinds: fine-tuning, a probe, and a probe of an encoder that the study pre-trains
itself. A copy of its folder is made for each fault, in one of three states.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from fairfm_core.data.preparation.prepare import prepare

from .commands import Ran, fairfm, in_fork, interrupted_after

NAME = "chaos"
EPOCHS = 4
VIT = {"name": "test_vit", "options": {"patch_size": 8}}
PROBE = {"method": "linear_probe", "recipe": "smoke", "epochs": EPOCHS}
MAE = {"method": "mae", "recipe": "smoke", "epochs": EPOCHS, "corpora": ["corpus"]}
STUDY = {
    "study": NAME,
    "claim": "a study for faults",
    "base": {"data": {"dataset": "data"}, "backbone": {"image_size": 32, "channels": 1}},
    "matrix": {
        "backbone": {"vit": VIT, "resnet": {"name": "test_resnet"}},
        "adaptation": {
            "tune": {"method": "end_to_end", "recipe": "smoke", "epochs": EPOCHS},
            "probe": PROBE,
        },
    },
    "exclude": [
        {"backbone": "vit", "adaptation": "probe"},
        {"backbone": "resnet", "adaptation": "tune"},
    ],
    "include": [
        {"name": "mae", "backbone": VIT, "weights": {"pretraining": MAE}, "adaptation": PROBE}
    ],
    "seeds": [0, 1],
    "objectives": [
        {"metric": "val/auc", "goal": "maximize"},
        {"metric": "val/gap_sex", "goal": "minimize"},
    ],
    "evaluation": {"attributes": ["sex"], "replicates": 20},
    "resources": {"cpus": 1},
}
RUN = ("sweep", "run", "study.yaml")
"""The command that runs the study, and that is given again after every fault."""


@dataclass(frozen=True)
class Untouched:
    """The study without any fault."""

    folder: Path
    """Holds `study.yaml`, `data`, `corpus`, and the results of each state by its name."""
    seconds: float
    """How long its run took."""

    def copy(self, state: str, place: Path) -> None:
        """Lay out a folder to be damaged, with results in this state."""
        place.mkdir(parents=True)
        shutil.copy(self.folder / "study.yaml", place)
        for name in ("data", "corpus"):
            shutil.copytree(self.folder / name, place / name)
        if (self.folder / state).exists():
            shutil.copytree(self.folder / state, place / "results")


def make_untouched(folder: Path, run: Callable[[Path], Ran]) -> Untouched:
    """Prepare the data and run the study once, with `run`.

    The states are `empty` (nothing was run), `finished`, and `unfinished`: a fine-tuning and the
    pre-training were interrupted and have checkpoints, and what needs them is missing.
    """
    folder.mkdir(parents=True)
    prepare("phantom", "unfair", folder / "data", 32, patients=100, fractions=(0.4, 0.3, 0.3))
    prepare("phantom", "skewed", folder / "corpus", 32, patients=60)
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    ran = run(folder)
    assert ran.code == 0, ran.output
    (folder / "results").rename(folder / "finished")
    _unfinish(folder)
    return Untouched(folder, ran.seconds)


def _unfinish(folder: Path) -> None:
    """Make the state `unfinished` out of `finished`."""
    results = folder / "results"
    shutil.copytree(folder / "finished", results)
    tuned = stages_of(folder, results, "vit.tune.s0")
    probed = stages_of(folder, results, "mae.s0")
    gone = [tuned["adapt"], tuned["evaluate"], *probed.values()]
    for stage in gone:
        shutil.rmtree(results / stage)
    for stage, saves in ((tuned["adapt"], 4), (probed["pretrain"], 3)):
        ran = in_fork(interrupted_after, folder, stage.split("/")[1], saves)
        assert len(list((results / "checkpoints").glob(f"{stage.split('/')[1]}/*"))) == 2, ran
    results.rename(folder / "unfinished")


def stages_of(folder: Path, results: Path, trial: str) -> dict[str, str]:
    """The stages of a trial, `<kind>/<fingerprint>` by kind."""
    shown = fairfm(folder, "results", "where", str(results), trial, "--json")
    assert shown.code == 0, shown.output
    places = [Path(row["place"]) for row in json.loads(shown.stdout)]
    return {place.parent.name: f"{place.parent.name}/{place.name}" for place in places}
