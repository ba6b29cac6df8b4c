"""What successive halving saves, and what it loses: decisions replayed on real training runs.

Some dozens of fine-tunings on phantom radiographs are trained to the end once, with their numbers
after each epoch. Then searches ask for all of them in many orders: without halving each is trained
whole, with halving it pauses at its rungs and one in `eta` goes on. `front`: hypervolume of the
front of what was trained to the end, as a share of that of all. `epochs`: as a share of all.
`chance`: as many training runs, chosen at random. The journal of each search is cut at a place of
its own, as by a kill, and the search goes on: it must decide the same.

`bench_followed_numbers`: what noting the objectives of each epoch costs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.cohorts import PREVALENCE, TEST, VAL, predictions
from benchmarks.search_worlds import AUC_AND_GAP
from benchmarks.sizes import sized
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.point_values import PointValues
from fairfm_core.evaluation.selection.pareto import hypervolume
from fairfm_core.running import run_stage
from fairfm_core.seeding import stream
from fairfm_core.stages import Stage
from sweeps.planning.plan import make_plan
from sweeps.planning.study import StudySpec
from sweeps.rungs.rung_values import rung_told
from sweeps.search.asked import Searched
from sweeps.search.domains import Labelled
from sweeps.search.grammar import SearchSpec
from sweeps.search.halving import Halving, Key, SearchHalving
from sweeps.search.history import Told
from sweeps.search.journal import open_journal
from sweeps.search.rounds import StudySearch
from sweeps.search.space import Parameter, Space

CONFIGURATIONS = sized(30, 6)
EPOCHS = sized(12, 5)
PATIENTS = sized(600, 300)
REPEATS = sized(40, 2)
METRICS = [objective.metric for objective in AUC_AND_GAP]
LADDERS = (
    SearchHalving(eta=2, rungs=(1, 4)),
    SearchHalving(eta=3, rungs=(2,)),
    SearchHalving(eta=3, rungs=(1, 4)),
    SearchHalving(eta=3, rungs=(1, 4), brackets=2),
)
FRONT, SHARE = 0.95, 0.50
"""Goals: least share of the hypervolume, largest share of the epochs, of the first ladder."""
LARGEST_COST = 0.02
"""Of an epoch."""
SECONDS_OF_AN_EPOCH = 8.0
"""Of 12,673 training and as many validation images on one large GPU: 2,000 and 6,000 a second."""


@dataclass(frozen=True)
class Trained:
    """Fine-tunings that were trained to the end."""

    store: ArtifactStore
    stages: Mapping[str, Stage]
    """By the label of the configuration."""

    def values(self, label: str, epochs: int) -> Mapping[str, float | None]:
        """What a configuration is worth after so many epochs."""
        values = rung_told(self.store, [self.stages[label]], epochs, METRICS).values
        assert values is not None
        return values


def train_all(folder: Path) -> Trained:
    """Train every configuration to the end: some minutes on one core."""
    prepare("phantom", "unfair", folder / "phantom", 32, patients=PATIENTS)
    store = open_store(f"{folder}/results")
    stages = {}
    for trial in make_plan(_study(folder / "phantom")).trials:
        run_stage(trial.adapt, store, lambda row: None)
        stages[trial.axes["adaptation"]] = trial.adapt
    return Trained(store, stages)


def _study(dataset: Path) -> StudySpec:
    recipes = {f"r{n:02}": _recipe(n) for n in range(CONFIGURATIONS)}
    return StudySpec.model_validate(
        {
            "study": "halved",
            "base": {
                "data": {"dataset": str(dataset), "balance": "sex"},
                "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
            },
            "matrix": {"adaptation": recipes},
            "objectives": [objective.model_dump() for objective in AUC_AND_GAP],
            "evaluation": {"attributes": ["sex"], "replicates": 0},
        }
    )


def _recipe(number: int) -> dict[str, object]:
    """A random recipe, from hopeless to good."""
    random = stream(0, "halving recipe", number)
    return {
        "method": "end_to_end",
        "recipe": "smoke",
        "epochs": EPOCHS,
        "base_lr": float(f"{10 ** random.uniform(-4.5, -0.5):.4g}"),
        "drop_path": round(float(random.uniform(0, 0.3)), 3),
        "weight_decay": float(f"{10 ** random.uniform(-4, 0):.4g}"),
        "layer_decay": float(random.choice([0.5, 0.75, 1.0])),
        "augmentation": str(random.choice(["none", "paper"])),
    }


@dataclass(frozen=True)
class Ending:
    """What a search has trained to the end, and for how many epochs all of it was trained."""

    labels: Sequence[str]
    epochs: int
    journal: bytes


@dataclass
class Replayed:
    """A search over the recorded training runs, in the order that its seed draws."""

    trained: Trained
    halving: SearchHalving | None
    seed: int
    folder: Path

    def run(self) -> Ending:
        """The whole search, from what its journal holds."""
        search = self._opened()
        history = search.journal.history
        while True:
            for each in history.open():
                self._tell(search, each.key, str(each.choices["recipe"]))
            search.journal.write()
            more = search.next_round()
            search.journal.write()
            if not more:
                break
        name = {key: str(each.choices["recipe"]) for key, each in history.asked.items()}
        epochs = sum(history.until.get(key, EPOCHS) for key in history.asked)
        return Ending([name[key] for key in history.told], epochs, self.path.read_bytes())

    @property
    def path(self) -> Path:
        """The file of the journal."""
        return self.folder / "studies/replayed/search.jsonl"

    def _opened(self) -> StudySearch:
        labels = list(self.trained.stages)
        recipe = Parameter("recipe", "recipe", Labelled({label: label for label in labels}))
        space = Space((recipe,))
        spec = SearchSpec(
            parameters={"recipe": labels},
            sampler="random",
            configurations=len(labels),
            seed=self.seed,
            halving=self.halving,
        )
        searched = Searched("base", {"base": {}}, {"base": space}, space, (), len(labels))
        journal = open_journal(open_store(str(self.folder)), "replayed", {})
        halving = None
        if self.halving is not None:
            rungs = self.halving.rungs_below(EPOCHS)
            halving = Halving(self.halving, lambda search, choices: rungs, self.seed)
        return StudySearch(spec, [searched], AUC_AND_GAP, [0], journal, halving=halving)

    def _tell(self, search: StudySearch, key: Key, label: str) -> None:
        """Tell the values that the recorded training has, as far as it was asked to go."""
        history, stage = search.journal.history, self.trained.stages[label]
        until = history.until.get(key, EPOCHS)
        for rung in search.halving.rungs_of("base", {}) if search.halving else ():
            if rung <= until and rung not in history.rungs.get(key, {}):
                told = rung_told(self.trained.store, [stage], rung, METRICS)
                search.tell_rung(key, rung, told)
        if key not in history.until:
            values = self.trained.values(label, EPOCHS)
            search.tell(key, Told((0,), values, {}, (stage.fingerprint,)))


def bench_halving() -> bool:
    """Train once, then print both sides; whether the first ladder keeps the goals and every search
    that was cut decides the same."""
    with tempfile.TemporaryDirectory() as folder:
        return replayed(train_all(Path(folder)))


def replayed(trained: Trained) -> bool:
    """Print what each ladder saves and loses on recorded training runs."""
    print(f"{len(trained.stages)} fine-tunings of {EPOCHS} epochs, {REPEATS} orders: mean (s.e.)")
    print(f"{'':34s} {'front':>14s} {'chance':>14s} {'epochs':>14s}  worst front")
    kept = [_ladder(trained, halving) for halving in (None, *LADDERS)]
    same = [_decides_the_same(trained, seed) for seed in range(REPEATS)]
    print(f"cut at a line and continued: {sum(same)} of {len(same)} searches decided the same")
    front, share = kept[1]
    print(f"(goals of the first ladder: front at least {FRONT}, epochs at most {SHARE})")
    return front >= FRONT and share <= SHARE and all(same)


def _ladder(trained: Trained, halving: SearchHalving | None) -> tuple[float, float]:
    """Print and return the shares of hypervolume and of epochs with these rungs."""
    whole = _volume(trained, list(trained.stages))
    rows = []
    for seed in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            ending = Replayed(trained, halving, seed, Path(folder)).run()
        random = stream(seed, "by chance")
        some = random.choice(list(trained.stages), len(ending.labels), replace=False).tolist()
        volumes = [_volume(trained, labels) / whole for labels in (ending.labels, some)]
        rows.append([*volumes, ending.epochs / (EPOCHS * len(trained.stages))])
    value_RC = np.array(rows)
    mean_C, error_C = value_RC.mean(axis=0), value_RC.std(axis=0, ddof=1) / len(rows) ** 0.5
    cells = [f"{mean:6.3f} ({error:.3f})" for mean, error in zip(mean_C, error_C, strict=True)]
    print(f"{_name(halving):34s} {' '.join(cells)}  {value_RC[:, 0].min():.3f}", flush=True)
    return float(mean_C[0]), float(mean_C[2])


def _name(halving: SearchHalving | None) -> str:
    if halving is None:
        return "without halving"
    rungs = ", ".join(str(rung) for rung in halving.rungs or ())
    more = f", {halving.brackets} brackets" if halving.brackets > 1 else ""
    return f"eta {halving.eta}, after epochs {rungs}{more}"


def _volume(trained: Trained, labels: Sequence[str]) -> float:
    values = [list(trained.values(label, EPOCHS).values()) for label in labels]
    value_NK: Floats = np.array(values, dtype=np.float64)
    return hypervolume(value_NK, AUC_AND_GAP)


def _decides_the_same(trained: Trained, seed: int) -> bool:
    """Whether a search whose journal ends inside some line writes the same journal."""
    with tempfile.TemporaryDirectory() as folder:
        search = Replayed(trained, LADDERS[1], seed, Path(folder))
        whole = search.run().journal
        length = int(stream(seed, "kill").integers(len(whole)))
        search.path.write_bytes(whole[:length])
        return search.run().journal == whole


def bench_followed_numbers() -> bool:
    """Print the seconds of noting the objectives of one epoch; whether that is little enough."""
    val, test = predictions(VAL), predictions(TEST)
    keys = ["image_id", "patient_id", "split", "sex", "race"]
    scores_NP = val[[f"p_{name}" for name in PREVALENCE]].to_numpy(np.float32)
    rows = val[[name for name in val.columns if not name.startswith("p_")]]
    values = PointValues(
        rows,
        pd.concat([val[keys], test[keys]]),
        tuple(PREVALENCE),
        EvaluationSettings(),
        ("val/auc", "val/gap_sex", "val/gap_race"),
    )
    values(scores_NP)  # compiles
    began, rounds = time.process_time(), 10
    for _ in range(rounds):
        values(scores_NP)
    seconds = (time.process_time() - began) / rounds
    share = seconds / SECONDS_OF_AN_EPOCH
    print(
        f"AUC and gaps of sex and race of an epoch, {VAL.images:,} images x {len(PREVALENCE)} "
        f"labels: {1000 * seconds:.0f} ms of one core, {share:.1%} of an epoch of "
        f"{SECONDS_OF_AN_EPOCH:g} s (goal {LARGEST_COST:.0%})"
    )
    return share <= LARGEST_COST
