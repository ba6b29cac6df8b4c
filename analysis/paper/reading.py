"""What a reader of a table or figure must know: protocol, patients, seeds, draws, deviations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from analysis.paper.answers import PaperAnswer, PaperAnswers
from analysis.paper.contrasts import too_few_draws
from analysis.paper.items import PaperItem, WantedFile
from analysis.wording import EXTREMES, listed, quoted
from fairfm_core.errors import first_ten
from fairfm_core.evaluation.tables import Row

PHANTOM = "phantom"
DEMO_MARK = "demo data"
DEMO = "demo data: phantom radiographs, made by a program; they show how, and nothing about people"
PATHOLOGIES = 14
"""Labels of the paper."""
GROUPS = {"sex": ("F", "M"), "race": ("Asian", "Black", "White")}
"""Groups of the paper."""
NO_INTERVAL = (
    "The paper reports no interval, no repetition and no seed, and not which definition of a gap"
    " it used: inside, above and below say where its number lies with respect to our interval."
)


def is_demo(answers: PaperAnswers) -> bool:
    """Whether any of the studies was evaluated on phantom images."""
    return any(
        data.kind == PHANTOM for each in answers.studies for data in each.stored.data.values()
    )


def pathologies_of(answers: Sequence[PaperAnswer]) -> list[str]:
    """The pathologies that the models predict, in their order."""
    if not answers:
        return []
    metrics = answers[0].evaluation.metrics
    return [str(name) for name in metrics["pathology"].unique() if name != "mean"]


def groups_of(answers: Sequence[PaperAnswer], attribute: str) -> list[str]:
    """The groups of an attribute, sorted."""
    if not answers:
        return []
    metrics = answers[0].evaluation.metrics
    own = metrics[(metrics["attribute"] == attribute) & (metrics["metric"] == "auc")]
    return sorted(str(name) for name in own["group"].dropna().unique())


def footer(
    item: PaperItem, shown: Sequence[PaperAnswer], answers: PaperAnswers, tests: Sequence[Row]
) -> tuple[str, ...]:
    """One sentence for each thing to know of a table, the demo mark first."""
    sentences = [*caption(item, shown, answers), NO_INTERVAL]
    if item.scheduled and answers.epochs_note:
        sentences.append(answers.epochs_note)
    if tests:
        sentences += _tested(tests, answers)
        settings = answers.settings
        alpha = 1 - settings.confidence
        coarse = too_few_draws(tests, settings.replicates, alpha, "A gap of this table")
        sentences += [coarse] if coarse else []
    sentences += _beside(shown, answers)
    return (*sentences, *_reasons(shown, answers, tests))


def caption(
    item: PaperItem, shown: Sequence[PaperAnswer], answers: PaperAnswers
) -> tuple[str, ...]:
    """One sentence for each thing to know of AUCs and gaps, the demo mark first."""
    return (*_what(shown, answers), *item.notes, *deviations(shown, answers))


def caption_of_differences(
    shown: Sequence[PaperAnswer], answers: PaperAnswers, pathologies: str
) -> tuple[str, ...]:
    """The same of a figure without gaps; `pathologies` says of which an AUC is."""
    sample = f"{_sample(shown, answers)}. AUC: {pathologies}."
    return (*_demo(answers), sample, f"{_draws(shown, answers)}.", *deviations(shown, answers))


def _demo(answers: PaperAnswers) -> list[str]:
    return [f"Note: {DEMO}."] if is_demo(answers) else []


def _what(shown: Sequence[PaperAnswer], answers: PaperAnswers) -> Iterator[str]:
    yield from _demo(answers)
    if not shown:
        yield f"Nothing was evaluated on split {answers.request.split} yet."
        return
    yield (
        f"{_sample(shown, answers)}, in points (1 point = 0.01). AUC: mean over pathologies. Gaps:"
        f" {answers.request.definition} unless named otherwise."
    )
    yield (
        f"{_draws(shown, answers)}. Null: what a fair model would show in the same draws (mean, to"
        f" its {100 * answers.settings.confidence:g} % bound). {EXTREMES}"
    )


def _sample(shown: Sequence[PaperAnswer], answers: PaperAnswers) -> str:
    split = answers.request.split
    return f"Split {split}, protocol {answers.protocol}, {patients_text(shown, split)}"


def _draws(shown: Sequence[PaperAnswer], answers: PaperAnswers) -> str:
    settings = answers.settings
    return (
        f"Intervals: {100 * settings.confidence:g} %, {settings.replicates} draws of"
        f" {settings.resampling}; {seeds_text(shown)}"
    )


def _beside(shown: Sequence[PaperAnswer], answers: PaperAnswers) -> Iterator[str]:
    """What a reader must know of models of other programs below the paper's rows."""
    if not answers.beside:
        return
    yield (
        f"Below the paper's rows: {listed(list(answers.beside))}, from predictions of other"
        " programs, evaluated as ours are. Best and second are those of the paper's rows alone."
    )
    for name, model in answers.beside.items():
        answer = answers.answer(WantedFile(name))
        assert answer is not None
        yield f"{name}: {patients_text([answer], answers.request.split)}."
        yield from (f"{note}." for note in model.notes)
        groups = [groups_of([each], a) for each in (answer, *shown[:1]) for a in GROUPS]
        if shown and groups[: len(GROUPS)] != groups[len(GROUPS) :]:
            yield f"{name}: its groups are not ours, so its gaps are those of other groups."


def patients_text(shown: Sequence[PaperAnswer], split: str) -> str:
    """How many patients and images a split has, of the first model."""
    row = everybody(shown[0], split)
    return f"{int(row['n_patients']):,} patients, {int(row['n']):,} images"


def everybody(answer: PaperAnswer, split: str) -> pd.Series:
    """The row of the mean AUC of everybody."""
    metrics = answer.evaluation.metrics
    overall = (metrics["attribute"] == "overall") & (metrics["pathology"] == "mean")
    wanted = overall & (metrics["metric"] == "auc") & (metrics["split"] == split)
    row: pd.Series = metrics[wanted].iloc[0]
    return row


def seeds_text(shown: Sequence[PaperAnswer]) -> str:
    """How many training runs stand behind each number."""
    counts = sorted({answer.seeds for answer in shown})
    if counts == [1]:
        return "one training of each model, so the spread between training runs is unknown"
    return f"means over {listed([str(count) for count in counts], 'or')} seeds of each model"


def deviations(shown: Sequence[PaperAnswer], answers: PaperAnswers) -> Iterator[str]:
    """Where the pathologies and groups are not the paper's."""
    if not shown:
        return
    names = pathologies_of(shown)
    if len(names) != PATHOLOGIES:
        yield f"Pathologies here: {first_ten(names)}; the paper has {PATHOLOGIES}."
    for attribute in answers.settings.attributes:
        groups = groups_of(shown, attribute)
        paper = GROUPS.get(attribute)
        if paper is None:
            yield f"The paper has no attribute {quoted(attribute)}."
        elif tuple(groups) != paper:
            yield f"Here the groups of {attribute} are {listed(groups)}, not {listed(paper)}."
    for attribute in GROUPS.keys() - set(answers.settings.attributes):
        yield f"The studies do not evaluate {attribute}, which the paper does."


def _tested(tests: Sequence[Row], answers: PaperAnswers) -> Iterator[str]:
    counted_tests = sum(row["p_holm"] is not None for row in tests)
    if counted_tests:
        yield (
            "Bold: best, underlined: second, as in the paper. † not distinguished from the best by"
            f" the paired test at {100 * (1 - answers.settings.confidence):g} %, corrected for"
            f" these {counted_tests} tests (Holm)."
        )
    else:
        yield (
            "Bold: best, underlined: second, as in the paper. There is no p-value, so nothing is"
            " distinguished from the best (†)."
        )


def _reasons(
    shown: Sequence[PaperAnswer], answers: PaperAnswers, tests: Sequence[Row]
) -> Iterator[str]:
    """Why numbers are undefined, and why there is no p-value, each once."""
    reasons: dict[str, None] = {}
    for answer in shown:
        gaps = answer.evaluation.gaps
        own = gaps[(gaps["split"] == answers.request.split) & (gaps["metric"] == "auc")]
        for reason in own["reason"].dropna():
            reasons[f"{answer.label}: {reason}"] = None
    spread = dict.fromkeys(str(row["spread"]) for row in tests if row["spread"] is not None)
    for each in list(reasons)[:5]:
        yield f"{each}."
    if len(reasons) > 5:
        yield f"And {len(reasons) - 5} more such notes in the csv."
    if spread:
        yield f"Spread between training runs: {'; '.join(spread)}."
    for why in dict.fromkeys(str(row["reason"]) for row in tests if row["reason"]):
        yield f"Tests: {why}."
