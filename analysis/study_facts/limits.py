"""What a study's numbers cannot say, derived from what was run: nothing here is a fixed text.

Each kind of limit is a function of the evidence to sentences; none means that this limit was not
found, not that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from analysis.cohort.flow import JUDGED, NO_P_VALUE, TOO_SMALL, cohort_flow
from analysis.cohort.study_cohort import StudyCohort
from analysis.front.front import Front
from analysis.results.numbers import thinnest
from analysis.results.results import StudyResults
from analysis.study_facts.sources import data_source
from analysis.wording import counted, listed
from fairfm_core.data.population.characteristics import (
    EVERYBODY,
    LABEL,
    PATIENTS,
    POSITIVE,
    UNCERTAIN,
)
from fairfm_core.errors import first_ten
from fairfm_core.evaluation.tables import Evaluation

FEWEST_REPLICATES = 100
FEWEST_SEEDS = 3
FEWEST_PATIENTS = 30
"""Patients of a group in test below which it is named as small."""
PREVALENCE_RATIO = 1.5
"""Ratio of the prevalences of two groups from which on their difference is named."""
MOST_LISTED = 10
PHANTOM = "phantom"


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything that the limits of a study are derived from."""

    results: StudyResults
    evaluations: Mapping[str, Evaluation]
    """By the configuration's group; seeds pooled."""
    front: Front
    cohorts: Sequence[StudyCohort]

    @cached_property
    def configs(self) -> list[Mapping[str, Any]]:
        """The resolved configuration of every trial; older records have empty ones."""
        return [trial.config for trial in self.results.stored.trials if trial.config]


@dataclass(frozen=True)
class StudyLimit:
    """One kind of limit, with what was found of it."""

    name: str
    """For programs: `small_groups`."""
    title: str
    sentences: tuple[str, ...]


def study_limits(evidence: Evidence) -> tuple[StudyLimit, ...]:
    """The limits that were found, the gravest first."""
    found = (
        StudyLimit(name, title, tuple(_few(list(sentences(evidence)))))
        for name, (title, sentences) in LIMITS.items()
    )
    return tuple(limit for limit in found if limit.sentences)


def _few(sentences: Sequence[str]) -> Sequence[str]:
    rest = len(sentences) - MOST_LISTED
    return sentences if rest <= 0 else [*sentences[:MOST_LISTED], f"{rest:,} more of this kind."]


def _made_up(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        if cohort.kind == PHANTOM:
            yield (
                f"The images of {cohort.folder} are phantoms, drawn by a program: the numbers show"
                " how the methods behave, and nothing about people."
            )


def _one_source(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        source = data_source(cohort.kind)
        place = "from where is not known to fairfm"
        if cohort.kind != PHANTOM:
            place = place if source is None else f"{source.title}, {source.place}"
            yield (
                f"Models are trained and tested on patients of the same data set, {cohort.folder}"
                f" ({place}): what they do on patients of another hospital was not measured, and a"
                " bias that training and test share is not seen."
            )


def _labels(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        source = data_source(cohort.kind)
        if source is None:
            yield (
                f"How the labels of {cohort.folder} were made is not known to fairfm: errors that"
                " depend on the group look like unfairness of the model, or hide it."
            )
        elif source.mined:
            yield (
                f"The labels of {source.title} were made {source.labels}, in training and in test:"
                " errors that depend on the group look like unfairness of the model, or hide it."
            )
        yield from _uncertain(cohort)


def _uncertain(cohort: StudyCohort) -> Iterator[str]:
    own = cohort.table[
        (cohort.table["split"] == JUDGED)
        & (cohort.table["attribute"] == EVERYBODY[0])
        & (cohort.table["level"] == UNCERTAIN)
    ]
    if len(own) and (count := int(own["count"].sum())):
        row = own.sort_values("count", ascending=False, kind="stable").iloc[0]
        yield (
            f"{count:,} labels of test images are uncertain, most of {_named(row['variable'])}"
            f" ({int(row['count']):,} of {int(row['of']):,} images); the policy"
            f" {listed(list(cohort.policies))} decides what they count as, and another one gives"
            " other numbers."
        )


def _named(variable: object) -> str:
    return str(variable).removeprefix(LABEL)


def _small_groups(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        for row in cohort_flow(cohort, evidence.results).of_kind(TOO_SMALL, NO_P_VALUE):
            yield f"{row.what}{f' ({row.counts})' if row.counts else ''}: {row.note}."
        small = _few_patients(cohort, evidence.results.settings.attributes)
        if small:
            yield (
                f"Groups with fewer than {FEWEST_PATIENTS} patients in the test split of"
                f" {cohort.folder}: {first_ten(small)}; what is said of them is mostly noise."
            )


def _few_patients(cohort: StudyCohort, attributes: Sequence[str]) -> list[str]:
    table = cohort.table
    own = table[(table["split"] == JUDGED) & (table["variable"] == PATIENTS)]
    return [
        f"{row['attribute']} {row['group']} ({row['count']})"
        for row in own[own["attribute"].isin(attributes)].to_dict("records")
        if row["count"] < FEWEST_PATIENTS
    ]


def _without_group(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        for attribute in evidence.results.settings.attributes:
            if count := cohort.unknown(JUDGED, attribute):
                yield (
                    f"{counted(count, 'test image')} of {cohort.folder} have no known {attribute}:"
                    " they count for everybody and for no group, so the gap is that of the others."
                )


def _not_examined(evidence: Evidence) -> Iterator[str]:
    known = {part for each in evidence.results.settings.attributes for part in each.split(" x ")}
    for cohort in evidence.cohorts:
        held = dict.fromkeys(cohort.table["attribute"])
        others = [str(name) for name in held if name not in known and name != EVERYBODY[0]]
        if others:
            yield (
                f"{cohort.folder} also knows {listed(others)}, by which nothing was compared: a"
                " difference between groups may be one of these."
            )


def _prevalence(evidence: Evidence) -> Iterator[str]:
    """The label whose prevalence differs most between two groups of an attribute."""
    for cohort in evidence.cohorts:
        for attribute in evidence.results.settings.attributes:
            shares = _shares(cohort, attribute)
            if not shares:
                continue
            label, (low, high) = max(shares.items(), key=lambda each: each[1][1] / each[1][0])
            if high >= PREVALENCE_RATIO * low:
                yield (
                    f"{label} is {high / low:.1f} times as frequent in one group of {attribute} as"
                    f" in another ({100 * high:.1f} and {100 * low:.1f} % of the labelled test"
                    f" images of {cohort.folder}): under protocol full a gap may come from the"
                    " mix of patients."
                )


def _shares(cohort: StudyCohort, attribute: str) -> dict[str, tuple[float, float]]:
    """Lowest and highest prevalence over the groups of an attribute that have any, by label."""
    table = cohort.table
    own = table[
        (table["split"] == JUDGED)
        & (table["attribute"] == attribute)
        & (table["level"] == POSITIVE)
        & (table["group"] != "unknown")
        & (table["count"] > 0)
    ]
    found: dict[str, list[float]] = {}
    for row in own.to_dict("records"):
        found.setdefault(_named(row["variable"]), []).append(row["count"] / row["of"])
    return {label: (min(each), max(each)) for label, each in found.items() if len(each) > 1}


def _training_runs(evidence: Evidence) -> Iterator[str]:
    results = evidence.results
    seeds = {trial.seed for trial in results.trials}
    if len(seeds) < FEWEST_SEEDS and not results.stored.both_levels:
        yield (
            f"Training used {counted(len(seeds), 'seed')}: intervals cover the sampling of "
            "patients, but hardly the variation between training runs."
        )
    yield from (f"{line}." for line in results.shared_pretrainings)


def _draws(evidence: Evidence) -> Iterator[str]:
    settings = evidence.results.settings
    if settings.replicates < FEWEST_REPLICATES:
        yield (
            f"Intervals and nulls are based on {settings.replicates} draws of "
            f"{settings.resampling}: with fewer than {FEWEST_REPLICATES}, their limits are rough."
        )
    if settings.resampling == "images":
        yield (
            "Images were drawn as if those of one patient were independent: the intervals are too"
            " narrow."
        )


def _paired(evidence: Evidence) -> Iterator[str]:
    if len({trial.digest for trial in evidence.results.trials}) > 1:
        yield (
            "The trials use several data sets; configurations with different data are not paired."
        )


def _weights(evidence: Evidence) -> Iterator[str]:
    """Under a protocol that weights images, the smallest effective sample of a group on test."""
    protocol = evidence.results.settings.protocols[0]
    rows = [row for each in evidence.evaluations.values() if (row := thinnest(each, JUDGED))]
    if protocol != "full" and rows:
        row = min(rows, key=lambda row: row["ess"])
        yield (
            f"Protocol {protocol} weights the images: the smallest effective sample on test "
            f"({row['attribute']} {row['group']}, {row['pathology']}) is equivalent to "
            f"{row['ess']:.0f} equally weighted images (out of {row['unique_images']})."
        )


def _many_numbers(evidence: Evidence) -> Iterator[str]:
    gaps = [
        row
        for each in evidence.evaluations.values()
        for row in each.rows("gaps", JUDGED, metric=["auc"], definition=["gap_of_mean"])
        if row["p_value"] is not None
    ]
    alpha = 1 - evidence.results.settings.confidence
    if len(gaps) > 1:
        yield (
            f"{len(gaps)} AUC gaps on test have a p-value, and none is corrected for the others:"
            f" about {alpha * len(gaps):.1f} would be below {alpha:.2g} if no model was unfair."
        )
    count = len(evidence.evaluations)
    if count > 1:
        yield (
            f"The front was chosen among {count} configurations on validation: what was chosen"
            " looks better there than it is."
        )


def _not_tuned(evidence: Evidence) -> Iterator[str]:
    if evidence.configs and evidence.results.stored.spec.search is None:
        yield (
            "No search chose hyper-parameters: they are those of the recipes, the same for all, and"
            " a configuration may be worse here than it would be with its own."
        )


def _seen_before(evidence: Evidence) -> Iterator[str]:
    published = sorted(
        {str(w["model"]) for c in evidence.configs if isinstance(w := c.get("weights"), Mapping)}
    )
    if published:
        yield (
            f"Whether the published weights of {listed(published)} were trained on patients of the"
            " test split is not known to fairfm."
        )
    kept = [c for c in evidence.configs if (p := c.get("pretraining")) and not _excludes(p)]
    if kept:
        yield (
            f"{counted(len(kept), 'trial')} start from a pre-training that may have seen images of"
            " test patients (exclude_eval_patients: false)."
        )


def _excludes(pretraining: Mapping[str, Any]) -> bool:
    return bool(pretraining.get("exclude_eval_patients", True))


def _thresholds(evidence: Evidence) -> Iterator[str]:
    if "f1" in evidence.results.settings.operating_points:
        yield (
            "Rates at the threshold of the highest F1 depend on the prevalence: groups of other"
            " prevalence would have other thresholds."
        )


Found = Callable[[Evidence], Iterator[str]]
LIMITS: dict[str, tuple[str, Found]] = {
    "made_up_images": ("Made-up images", _made_up),
    "small_groups": ("Groups too small", _small_groups),
    "training_runs": ("Few training runs", _training_runs),
    "draws": ("The draws of patients", _draws),
    "one_source": ("One source of patients", _one_source),
    "labels": ("Labels with errors", _labels),
    "unknown_group": ("Patients of unknown group", _without_group),
    "prevalence": ("Groups with another mix of patients", _prevalence),
    "not_examined": ("What was not compared", _not_examined),
    "weights": ("Weighted test images", _weights),
    "not_paired": ("Different data", _paired),
    "many_numbers": ("Many numbers, and a choice", _many_numbers),
    "seen_before": ("What pre-training may have seen", _seen_before),
    "not_tuned": ("Hyper-parameters", _not_tuned),
    "thresholds": ("Thresholds", _thresholds),
}
"""Title and function of each kind of limit, in the order of the box."""
