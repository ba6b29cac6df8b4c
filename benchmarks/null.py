"""How often is a gap, or a group's difference from everybody, significant, and is that right?

Worlds are those of `null_worlds.py`. P-values are what `evaluate` gives (`now`) and those of the
permutation test of earlier versions (`before`, `null_tests.py`). Fair worlds give type I errors,
unfair ones power. `withheld` is the share of test sets without a p-value: fewer than 20 patients of
a class in a group. Numbers stand with their standard errors.

CheXpert's test split is simulated too where FAIRFM_CHEXPERT names its train.csv and
FAIRFM_CHEXPERT_SPLIT the published list of the split.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.null_tests import TRIED, LabelTable, PValues, permutation
from benchmarks.null_worlds import FAIR, UNFAIR, NullWorld, scored_table
from benchmarks.simulated import share_with_error
from benchmarks.sizes import sized
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.readers.chexpert import published_split, read_chexpert_table
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions

REPETITIONS = sized(600, 2)
REPETITIONS_OF_METRICS = sized(300, 2)
REPETITIONS_OF_TESTS = sized(300, 2)
REPETITIONS_OF_CHEXPERT = sized(150, 2)
LEVELS = (0.05, 0.01)
BOUNDS = {0.05: 0.065, 0.01: 0.017}
"""Largest type I errors of a cell; three standard errors are added, for there are many cells."""
FEWEST = 50
"""P-values from which a share is printed."""
AUC_ONLY = EvaluationSettings(attributes=("group",), metrics=("auc",))
ALL_METRICS = EvaluationSettings(attributes=("group",))
SCORED = ("auc", "tpr@fpr=0.2", "fpr@fpr=0.2", "equalized_odds@fpr=0.2")
OF_PREVALENCE = ("auprc", "brier")
CALIBRATION = ("calibration_slope", "calibration_intercept", "brier")
TRIED_IN = ("equal", ".3/.3/.2", "two groups", "5 images")


@dataclass
class Found:
    """P-values of the repetitions of one cell by test; None where one was withheld."""

    p_values: dict[str, list[float | None]] = field(default_factory=dict)

    def add(self, name: str, p_value: float | None) -> None:
        """One more repetition."""
        missing = p_value is None or np.isnan(p_value)
        self.p_values.setdefault(name, []).append(None if missing else p_value)

    def defined(self, name: str) -> list[float]:
        """Those that were given."""
        return [p for p in self.p_values[name] if p is not None]

    def shares(self, name: str) -> str:
        """Significant at both levels in % (standard error); `-` with few p-values."""
        defined = self.defined(name)
        if len(defined) < FEWEST:
            return "-".rjust(24)
        return " ".join(share_with_error([p <= level for p in defined]) for level in LEVELS)

    def right(self, name: str) -> bool:
        """Whether the shares stay below their bounds."""
        p_values = np.array(self.defined(name))
        if len(p_values) < FEWEST:
            return True
        errors = {level: 3 * np.sqrt(level * (1 - level) / len(p_values)) for level in LEVELS}
        return all((p_values <= each).mean() <= BOUNDS[each] + errors[each] for each in LEVELS)

    @property
    def withheld(self) -> float:
        """Share of the repetitions without a p-value of `evaluate`."""
        now = self.p_values["gap now"]
        return sum(p is None for p in now) / len(now)


def bench_null() -> bool:
    """Print type I errors and power; whether the type I errors are as they should be."""
    began = time.process_time()
    with threadpool_limits(1):
        parts = [_type_one(), _power(), _chexpert(), _of_metrics(), _tried()]
    print(
        f"  (goal: at most {BOUNDS[0.05]:.1%} at 5 %, {BOUNDS[0.01]:.1%} at 1 %, and 3 standard",
        end="",
    )
    print(f" errors; {time.process_time() - began:.0f} s)")
    return all(parts)


def simulated(world: NullWorld, repetitions: int, before: bool = True, start: int = 0) -> Found:
    """P-values of the AUC's gap and difference; the seed of a repetition is its number."""
    found = Found()
    for seed in range(start, start + repetitions):
        frame = world.draw(seed)
        for name, p_value in evaluated(frame, AUC_ONLY.model_copy(update={"seed": seed})).items():
            found.add(f"{name} now", p_value)
        if before and world.labels == 1:
            test = frame[frame["split"] == "test"].reset_index(drop=True)
            old = permutation(LabelTable.of(test, "L00"), np.random.default_rng([seed, 23]))
            found.add("gap before", old.gap)
            found.add("difference before", old.difference)
    return found


def evaluated(
    frame: pd.DataFrame, settings: EvaluationSettings, metric: str = "auc"
) -> dict[str, float | None]:
    """P-values of `evaluate` on test: of both gaps, of the last group's difference in the mean."""
    result = evaluate(Predictions(frame), settings)
    gaps = result.gaps[(result.gaps["split"] == "test") & (result.gaps["metric"] == metric)]
    p_values = gaps.set_index("definition")["p_value"]
    found = {"gap": p_values["gap_of_mean"], "mean_of_gaps": p_values["mean_of_gaps"]}
    rows = result.differences
    rows = rows[(rows["split"] == "test") & (rows["metric"] == metric)]
    rows = rows[(rows["reference"] == "overall") & (rows["group"] == rows["group"].max())]
    by_pathology = rows.set_index("pathology")["p_value"]
    if len(by_pathology):
        found |= {"difference": by_pathology["mean"], "pathology": by_pathology.iloc[0]}
    return found


def _type_one() -> bool:
    names = ("gap before", "gap now", "mean_of_gaps now", "difference before", "difference now")
    print(f"fair worlds: AUC significant at 5 % and 1 %, in % (standard error), {REPETITIONS}:")
    print(f"{'world':14s}" + "".join(f" {name:>24s}" for name in (*names, "pathology now")), end="")
    print(" withheld")
    right = True
    for world in FAIR:
        right = _row(world, simulated(world, REPETITIONS), (*names, "pathology now")) and right
    return right


def _power() -> bool:
    names = ("gap before", "gap now", "difference before", "difference now")
    print("unfair worlds, the last group's AUC .10 lower: power in % (standard error):")
    print(f"{'world':14s}" + "".join(f" {name:>24s}" for name in names) + " withheld")
    for world in UNFAIR:
        _row(world, simulated(world, REPETITIONS), names)
    return True


def _row(world: NullWorld, found: Found, names: Sequence[str]) -> bool:
    shares = [found.shares(n) if n in found.p_values else "-".rjust(24) for n in names]
    print(f"{world.name:14s} {' '.join(shares)} {found.withheld:8.1%}", flush=True)
    return all(found.right(n) for n in names if n.endswith("now"))


def _of_metrics() -> bool:
    """Every metric that is equal in all groups of a world."""
    print(f"fair worlds: other metrics, {REPETITIONS_OF_METRICS} repetitions:")
    print(f"{'world':14s} {'metric':24s} {'gap':>24s} {'difference':>24s}")
    right = True
    for world in [each for each in FAIR if each.labels == 1]:
        metrics = (*SCORED[1:], *(OF_PREVALENCE if world.equal_prevalence else ()))
        for metric, found in _metrics(world, CALIBRATION if world.calibrated else metrics).items():
            names = [name for name in ("gap", "difference") if name in found.p_values]
            shares = " ".join(found.shares(name) for name in names)
            print(f"{world.name:14s} {metric:24s} {shares}", flush=True)
            right = right and all(found.right(name) for name in names)
    return right


def _metrics(world: NullWorld, metrics: Iterable[str]) -> dict[str, Found]:
    found = {metric: Found() for metric in metrics}
    for seed in range(REPETITIONS_OF_METRICS):
        frame = world.draw(seed)
        result = evaluate(Predictions(frame), ALL_METRICS.model_copy(update={"seed": seed}))
        gaps = result.gaps[result.gaps["split"] == "test"].set_index(["metric", "definition"])
        rows = result.differences[result.differences["split"] == "test"]
        rows = rows[(rows["reference"] == "overall") & (rows["pathology"] == "mean")]
        rows = rows[rows["group"] == rows["group"].max()].set_index("metric")
        for metric in found:
            found[metric].add("gap", gaps.loc[(metric, "gap_of_mean"), "p_value"])
            if metric in rows.index:
                found[metric].add("difference", rows.loc[metric, "p_value"])
    return found


def _tried() -> bool:
    print(f"tests that were tried, {REPETITIONS_OF_TESTS} repetitions with a p-value:")
    print(f"{'world':14s} {'test':12s} {'gap':>24s} {'difference':>24s}")
    for kind, worlds in (("type I", FAIR), ("power", UNFAIR[:1])):
        for world in [each for each in worlds if each.name in TRIED_IN]:
            for test, found in _tests(world).items():
                shares = found.shares("gap"), found.shares("difference")
                print(f"{world.name:14s} {test:12s} {' '.join(shares)}  {kind}", flush=True)
    return True


def _tests(world: NullWorld) -> dict[str, Found]:
    """P-values of all tests on the same test sets, those for which `evaluate` gives one."""
    found = {name: Found() for name in (*TRIED, "chosen")}
    for seed in range(REPETITIONS_OF_TESTS):
        frame = world.draw(seed)
        chosen = evaluated(frame, AUC_ONLY.model_copy(update={"seed": seed}))
        if chosen["gap"] is None or np.isnan(chosen["gap"]):
            continue
        test = frame[frame["split"] == "test"].reset_index(drop=True)
        table = LabelTable.of(test, "L00")
        results = {
            name: tried(table, np.random.default_rng([seed, 24])) for name, tried in TRIED.items()
        }
        results["chosen"] = PValues(chosen["gap"], chosen["difference"] or np.nan)
        for name, p_values in results.items():
            found[name].add("gap", p_values.gap)
            found[name].add("difference", p_values.difference)
    return found


def _chexpert() -> bool:
    """Fair scores on CheXpert's real test split: gaps by age, and 80+ against everybody."""
    paths = [os.environ.get(name, "") for name in ("FAIRFM_CHEXPERT", "FAIRFM_CHEXPERT_SPLIT")]
    if not all(path and Path(path).is_file() for path in paths):
        print("CheXpert's test split: skipped, FAIRFM_CHEXPERT and FAIRFM_CHEXPERT_SPLIT not set")
        return True
    table, found = chexpert_table(*map(Path, paths)), Found()
    settings = AUC_ONLY.model_copy(update={"attributes": ("age",)})
    for seed in range(REPETITIONS_OF_CHEXPERT):
        result = evaluate(Predictions(scored_table(seed, table)), settings)
        for _, row in result.gaps.iterrows():
            found.add(f"{row['definition']}, age", row["p_value"])
        rows = result.differences
        for _, row in rows[(rows["group"] == "80+") & (rows["reference"] == "overall")].iterrows():
            found.add(f"{row['pathology']}, 80+", row["p_value"])
    print(f"CheXpert's test split with fair scores, {REPETITIONS_OF_CHEXPERT} repetitions:")
    for name in found.p_values:
        print(f"  {name:34s} {found.shares(name)}", flush=True)
    return all(found.right(name) for name in found.p_values)


def chexpert_table(train_csv: Path, split_list: Path) -> pd.DataFrame:
    """Labels and ages of CheXpert's frontal test images by the published list."""
    frame, _ = read_chexpert_table(train_csv)
    frame["split"] = published_split(split_list, frame)
    frame = frame[(frame["split"] == "test") & (frame["orientation"] == "Frontal")]
    labels = [name for name in frame.columns if name.startswith("y_")]
    return frame[["image_id", "patient_id", "split", "age", *labels]].reset_index(drop=True)
