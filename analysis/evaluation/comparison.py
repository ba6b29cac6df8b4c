"""`fairfm evaluate --compare`: two models, or two sets of seeds, on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, pairwise

import pandas as pd
import pyarrow as pa

from analysis.evaluation.evaluate import seed_models
from analysis.evaluation.fitting import fitted_rows
from analysis.results.replicates import StudyNumbers, study_numbers
from analysis.results.results import StudyResults, open_results
from analysis.wording import points, signed, signed_interval, wrapped
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.cores import usable_cores
from fairfm_core.data.node_copy import local_files
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.numbers import gap_name
from fairfm_core.evaluation.pairing import check_pairing
from fairfm_core.evaluation.reading.form import PredictionForm
from fairfm_core.evaluation.selection.comparison import (
    COLUMNS,
    Family,
    Lender,
    Side,
    compared,
    nothing_lent,
)
from fairfm_core.evaluation.tables import Evaluation

FILE, CSV = "comparisons.parquet", "comparisons.csv"
TEXTS = ("a", "b", "protocol", "split", "name", "spread", "reason")
COUNTS = ("seeds_a", "seeds_b")
SCHEMA = pa.schema(
    [
        (name, pa.string() if name in TEXTS else pa.int64() if name in COUNTS else pa.float64())
        for name in COLUMNS
    ]
)


@dataclass(frozen=True)
class ComparisonRequest:
    """What to compare, how to evaluate it, and which tests are declared together."""

    pairs: tuple[tuple[str, str], ...]
    settings: EvaluationSettings
    family: tuple[str, ...]
    """Empty for the default: the AUC and the AUC gap of each attribute."""
    split: str
    attributes: tuple[str, ...] = ()
    """Attributes to evaluate; empty for sex and race where the predictions have them."""
    notes: tuple[str, ...] = ()
    """What reading the files has changed or taken for granted."""

    @property
    def declared(self) -> Family:
        """The family of tests that Holm's correction is over."""
        gaps = [gap_name("auc", "gap_of_mean", each) for each in self.settings.attributes]
        return Family(self.family or ("auc", *gaps), self.split)


def compare_files(
    request: ComparisonRequest, form: PredictionForm
) -> tuple[ComparisonRequest, pd.DataFrame]:
    """Compare models by the paths of their predictions; the returned request names the attributes.

    A path is a file, a folder of files of one model, or a folder of such folders: its seeds. Raises
    BadInput for files that are not predictions and models that cannot be paired.
    """
    read = {
        name: seed_models(local_files(name), form, request.attributes, request.settings)
        for pair in request.pairs
        for name in pair
    }
    seeds = {name: [each.predictions for each in models] for name, models in read.items()}
    for a, b in request.pairs:
        check_pairing(seeds[a][0], seeds[b][0], (a, b))
    for name, models in seeds.items():
        for first, other in pairwise(models):
            check_pairing(first, other, (f"a seed of {name}", "the next"))
    shared = {each.attributes for models in read.values() for each in models}
    if len(shared) > 1:
        raise BadInput("the models have different attributes; say which, as in --attributes sex")
    settings = request.settings.model_copy(update={"attributes": shared.pop()})
    notes = dict.fromkeys(
        f"{name}: {note}" for name, models in read.items() for each in models for note in each.notes
    )
    request = replace(request, settings=settings, notes=tuple(notes))
    sides = {
        name: Side(name, tuple(evaluate(model, settings) for model in models))
        for name, models in seeds.items()
    }
    pairs = [(sides[a], sides[b]) for a, b in request.pairs]
    return request, compared(pairs, request.declared, settings.confidence)


def compare_configurations(
    location: str, study: str | None, request: ComparisonRequest
) -> tuple[ComparisonRequest, pd.DataFrame]:
    """Compare configurations of a study by their labels, from stored replicates.

    They were evaluated with the study's settings, which the returned request contains. A
    configuration with one seed is given the spread between training runs of the others, where
    enough of them have several seeds.
    """
    results = open_results(location, study)
    sides = {name: _side(results, name) for pair in request.pairs for name in pair}
    request = replace(request, settings=results.settings)
    pairs = [(sides[a], sides[b]) for a, b in request.pairs]
    lent: Lender = nothing_lent
    if any(len(side.seeds) == 1 for side in sides.values()):
        lent = cache(_of_several_seeds(results).lent)
    return request, compared(pairs, request.declared, request.settings.confidence, lent)


def comparison_text(table: pd.DataFrame, request: ComparisonRequest) -> str:
    """The declared tests as text, every number with what it is."""
    shown = table[table["p_holm"].notna() | _undefined(table, request)]
    rows = [_line(row) for _, row in shown.iterrows()]
    confidence = f"{100 * request.settings.confidence:g} %"
    head = ["a", "b", "number", "a", "b", f"a - b ({confidence})", "fair", "p", "p (Holm)"]
    where = (
        f"Split {request.split}, protocol {table['protocol'].iloc[0]}, in points (1 point = 0.01)"
    )
    notes = dict.fromkeys(note for _, row in shown.iterrows() for note in _notes(row))
    lines = [f"{where}: means over pathologies.", *fitted_rows([head, *rows], (0, 1))]
    lines += [line for note in notes for line in wrapped(note)]
    lines += [line for note in request.notes for line in wrapped(f"note: {note}")]
    return "\n".join([*lines, *wrapped(_reading(shown), indent="")])


def _reading(shown: pd.DataFrame) -> str:
    tested = int(shown["p_holm"].notna().sum())
    how = (
        "gap_<attribute> is the AUC's gap_of_mean."
        " The interval is that of the difference: both models on the same draws of patients, and"
        " the spread between training runs where it is known."
    )
    if not tested:
        return f"{how} No p-value: these differences are descriptive."
    return (
        f"{how} p (Holm) is corrected for these {tested} tests. fair: the difference of gaps that"
        " fair models of these accuracies would show; p is the larger of the p-values of Student's"
        " t and of the draws of fair models against it."
    )


def _undefined(table: pd.DataFrame, request: ComparisonRequest) -> pd.Series:
    declared = table["name"].isin(request.declared.names) & (table["split"] == request.split)
    first = table["protocol"] == table["protocol"].iloc[0]
    undefined: pd.Series = declared & first & table["p_value"].isna()
    return undefined


def _line(row: pd.Series) -> list[str]:
    def number(key: str) -> float | None:
        return None if pd.isna(row[key]) else float(row[key])

    difference = {"value": number("difference"), "lo": number("lo"), "hi": number("hi")}
    fair = number("null_difference")
    return [
        *(str(row["a"]), str(row["b"]), str(row["name"])),
        *(points(number("value_a")), points(number("value_b"))),
        *(signed_interval(difference), "" if fair is None else signed(fair)),
        *(_p_value(row["p_value"]), _p_value(row["p_holm"])),
    ]


def _notes(row: pd.Series) -> list[str]:
    """Where the spread between training runs comes from, and what a reader must know.

    A column of text that is empty in every row holds NaN instead of None.
    """
    spread = "unknown" if pd.isna(row["spread"]) else row["spread"]
    notes = [f"spread between training runs: {spread}"]
    return notes if pd.isna(row["reason"]) else [*notes, f"note: {row['reason']}"]


def _p_value(value: float | None) -> str:
    return "none" if pd.isna(value) else format(value, ".3f")


def _of_several_seeds(results: StudyResults) -> StudyNumbers:
    """The numbers of the configurations whose seeds show a spread."""
    several = [each.finished for each in results.configurations if len(each.finished) > 1]
    return study_numbers(replace(results, trials=tuple(chain.from_iterable(several))))


def _side(results: StudyResults, label: str) -> Side:
    known = {each.label: each for each in results.configurations}
    if label not in known:
        hint = did_you_mean(label, known)
        raise BadInput(f"no configuration {label!r}{hint}; the study has {', '.join(known)}")
    for trial in known[label].trials:
        if trial.damaged:
            advice = "`fairfm sweep run` of the study makes it again"
            raise BadInput(f"trial {trial.name}: {trial.failure}; {advice}")
    trials: Sequence[str] = [trial.evaluate for trial in known[label].finished]
    seeds = tuple(results.evaluation("evaluate", each) for each in trials)
    with ThreadPoolExecutor(usable_cores()) as threads:
        list(threads.map(Evaluation.draws, seeds))  # computed from the predictions
    return Side(label, seeds, known[label].training_runs)
