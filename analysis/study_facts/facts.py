"""What a study's files say, fact by fact, and where fairfm shows it.

A checklist or a card asks for facts by name. A fact that the files do not hold is None: then the
author must say it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.cohort.flow import SPLIT_TITLES
from analysis.cohort.study_cohort import StudyCohort
from analysis.results.results import TrialResult
from analysis.study_facts.limits import Evidence, study_limits
from analysis.study_facts.sources import data_source
from analysis.wording import (
    axis_title,
    counted,
    definition_of,
    listed,
    metric_title,
    title_of,
    with_interval,
    with_null,
)
from fairfm_core.config.methods.losses import CROSS_ENTROPY
from fairfm_core.data.population.characteristics import EVERYBODY, IMAGES, LABEL, PATIENTS
from fairfm_core.evaluation.tables import Row

FLOW = "report, Patients; fairfm tables --only cohort_flow; fairfm figures --only cohort_flow"
TABLE_ONE = "report, Patients; fairfm tables --only characteristics"
METHODS = "report, Methods"
FRONT = "report, Front; fairfm pareto"
CARD = "fairfm card"
LIMITS_BOX = "report and fairfm card, What these numbers cannot say"


@dataclass(frozen=True)
class StudyFact:
    """Something that the files say."""

    text: str
    where: str


def fact(name: str, evidence: Evidence) -> StudyFact | None:
    """A fact by its name; None where the files do not say it."""
    where, told = FACTS[name]
    sentences = [sentence for sentence in told(evidence) if sentence]
    return StudyFact(" ".join(sentences), where) if sentences else None


def _claim(evidence: Evidence) -> Iterator[str]:
    if claim := str(evidence.results.record.get("claim", "")):
        yield f"The study file asks: {claim}"


def _sources(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        source = data_source(cohort.kind)
        known = "prepared from a table" if source is None else f"{source.title}, {source.place}"
        yield f"{cohort.folder}: {known}."


def _terms(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        source = data_source(cohort.kind)
        if source is not None:
            yield f"{cohort.folder}: {source.terms} ({source.citation})."
        yield f"Digest of {cohort.folder}: {cohort.digest}."


def _flow(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        if cohort.stored is not None:
            first, *steps = cohort.stored.flow
            out = "; ".join(f"{step.images_dropped:,} {step.reason}" for step in steps)
            yield (
                f"{cohort.folder}: {first.images:,} rows of the source; left out:"
                f" {out or 'none'}; {cohort.stored.counts['images']:,} images prepared."
            )
        yield f"{_sizes(cohort)}."


def _sizes(cohort: StudyCohort) -> str:
    parts = [
        f"{SPLIT_TITLES[split]} {cohort.count(split, PATIENTS):,} patients,"
        f" {cohort.count(split, IMAGES):,} images"
        for split in cohort.splits
    ]
    return f"{cohort.folder}: {'; '.join(parts)}"


SPLIT_BY = {
    "random": "drawn at random, by patient",
    "list": "as a list of the source says",
    "lists": "as the source's lists say",
    "column": "as a column of the table says",
}
"""How a reader has made the splits, by what it recorded."""


def _partitions(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        recorded = "" if cohort.stored is None else str(cohort.stored.origin.get("split", ""))
        how = SPLIT_BY.get(recorded, "how was not recorded")
        yield f"{_sizes(cohort)} (split: {how})."


def _disjoint(evidence: Evidence) -> Iterator[str]:
    if evidence.cohorts:
        yield "By patient: a data set with a patient in two splits is refused when it is opened."


def _preprocessing(evidence: Evidence) -> Iterator[str]:
    yield from (f"{line}." for line in evidence.results.stored.comparison.images)


def _characteristics(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        names = dict.fromkeys(cohort.table["variable"])
        shown = [n for n in names if n not in (PATIENTS, IMAGES) and not n.startswith(LABEL)]
        labels = sum(name.startswith(LABEL) for name in names)
        splits = listed([SPLIT_TITLES[split] for split in cohort.splits])
        yield (
            f"{cohort.folder}, splits {splits}: {listed(shown)} and the frequency of"
            f" {counted(labels, 'label')}, for everybody and by group."
        )


def _missing(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        table = cohort.table[cohort.table["attribute"] == EVERYBODY[0]]
        ages = table[(table["variable"] == "age") & (table["of"] > table["count"])]
        unknown = [
            f"{row['variable']} of {int(row['count']):,} {row['unit']} ({row['split']})"
            for row in table[table["level"] == "unknown"].to_dict("records")
        ] + [
            f"age of {int(row['of'] - row['count']):,} patients ({row['split']})"
            for row in ages.to_dict("records")
        ]
        yield f"Unknown in {cohort.folder}: {listed(unknown) or 'no attribute'}; none is imputed."
    yield (
        "Images without a label are left out of what is computed for it; images of unknown group"
        " count for everybody and for no group."
    )


def _label_source(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        source = data_source(cohort.kind)
        if source is not None:
            yield f"Labels of {source.title} were made {source.labels}."


def _label_policy(evidence: Evidence) -> Iterator[str]:
    policies = dict.fromkeys(policy for cohort in evidence.cohorts for policy in cohort.policies)
    if policies:
        yield f"Uncertain labels are read by the policy {listed(list(policies))} (data.labels)."


def _small_groups(evidence: Evidence) -> Iterator[str]:
    for limit in study_limits(evidence):
        if limit.name == "small_groups":
            yield from limit.sentences


def _outcomes(evidence: Evidence) -> Iterator[str]:
    names = _pathologies(evidence)
    if names:
        yield f"Presence of each of {counted(len(names), 'label')} in an image: {listed(names)}."


def _pathologies(evidence: Evidence) -> list[str]:
    evaluation = next(iter(evidence.evaluations.values()))
    rows = evaluation.rows("metrics", "test", attribute=[EVERYBODY[0]], metric=["auc"])
    return [str(row["pathology"]) for row in rows if row["pathology"] != "mean"]


def _architecture(evidence: Evidence) -> Iterator[str]:
    held = (_part(config, "backbone") for config in evidence.configs)
    nets = dict.fromkeys(_network(backbone) for backbone in held if backbone)
    if nets:
        yield f"Networks, in timm's names: {listed(list(nets))}; one probability for each label."


def _network(backbone: Mapping[str, Any]) -> str:
    side, channels = (
        backbone.get("image_size"),
        counted(int(backbone.get("channels", 3)), "channel"),
    )
    return f"{backbone.get('name')} ({side} pixels, {channels})"


def _initialisation(evidence: Evidence) -> Iterator[str]:
    starts = dict.fromkeys(_start(config) for config in evidence.configs)
    if starts:
        yield f"Initial weights: {listed(list(starts))}."


def _start(config: Mapping[str, Any]) -> str:
    before, weights = _part(config, "pretraining"), _part(config, "weights")
    if before:
        corpora = listed([str(each) for each in before.get("corpora", ())])
        return f"{before.get('method')} pre-trained on {corpora} ({before.get('epochs')} epochs)"
    return f"published weights {weights.get('model')}" if weights else "random"


def _training(evidence: Evidence) -> Iterator[str]:
    yield from (f"{line}." for line in evidence.results.stored.comparison.training)
    recipes = dict.fromkeys(
        f"{a.get('method')}: {a.get('optimizer')}, learning rate {a.get('lr')}, weight decay"
        f" {a.get('weight_decay')}"
        for config in evidence.configs
        if "optimizer" in (a := _part(config, "adaptation"))
    )
    yield from (f"{recipe}." for recipe in recipes)
    seeds = sorted({trial.seed for trial in evidence.results.trials})
    yield f"Seeds: {', '.join(map(str, seeds))}."


def _software(evidence: Evidence) -> Iterator[str]:
    version = str(evidence.results.record.get("code_version", ""))
    if version:
        yield f"fairfm {version}."
    for software in _of_markers(evidence, "software"):
        yield f"{listed([f'{name} {number}' for name, number in software.items()])}."


def _hardware(evidence: Evidence) -> Iterator[str]:
    for hardware in _of_markers(evidence, "hardware"):
        yield f"Trained on {listed([str(value) for value in hardware.values()])}."


def _of_markers(evidence: Evidence, key: str) -> Iterator[Mapping[str, Any]]:
    """What the records of the training runs say under a key, each once."""
    done = [trial for trial in evidence.results.trials if trial.done]
    records = [_recorded(evidence, trial, key) for trial in done]
    yield from {str(each): each for each in records if each}.values()


def _recorded(evidence: Evidence, trial: TrialResult, key: str) -> Mapping[str, Any]:
    found = evidence.results.marker("adapt", trial.adapt).record.get(key)
    return found if isinstance(found, Mapping) else {}


def _selection(evidence: Evidence) -> Iterator[str]:
    goals = [f"{each.goal} {title_of(each.name)}" for each in evidence.results.objectives]
    yield (
        f"A Pareto front over {counted(len(evidence.evaluations), 'configuration')} on validation"
        f" ({listed(goals)}); the numbers shown are those on test. No test number enters a"
        " choice."
    )


def _tuning(evidence: Evidence) -> Iterator[str]:
    axes = evidence.results.axes
    if axes:
        yield f"Varied: {listed([axis_title(axis) for axis in axes])}."
    if evidence.configs:
        searched = evidence.results.stored.spec.search is not None
        yield "A search chose parameters." if searched else "No search chose hyper-parameters."


def _metrics(evidence: Evidence) -> Iterator[str]:
    settings = evidence.results.settings
    names = listed([metric_title(name) for name in settings.metrics])
    points = listed(list(settings.operating_points))
    yield (
        f"Metrics: {names}, in every group of {listed(list(settings.attributes))}; operating"
        f" points: {points}, chosen on validation."
    )


def _thresholds(evidence: Evidence) -> Iterator[str]:
    points = evidence.results.settings.operating_points
    if "rates" in evidence.results.settings.metrics and points:
        yield f"Thresholds for each label, chosen on validation: {listed(list(points))}."


def _uncertainty(evidence: Evidence) -> Iterator[str]:
    settings = evidence.results.settings
    yield (
        f"{100 * settings.confidence:g} % intervals ({settings.intervals}) from"
        f" {settings.replicates} draws of {settings.resampling}; each gap beside what a fair model"
        " would show in the same draws; p-values are not corrected for their number."
    )


def _robustness(evidence: Evidence) -> Iterator[str]:
    settings, seeds = evidence.results.settings, {t.seed for t in evidence.results.trials}
    yield (
        f"Protocols: {listed(list(settings.protocols))}; {counted(len(seeds), 'seed')}; gaps in two"
        " definitions (gap_of_mean, mean_of_gaps)."
    )


def _performance(evidence: Evidence) -> Iterator[str]:
    for row in _best(evidence):
        yield (
            f"{evidence.front.named(row['label'])}: AUC (mean over pathologies) on test"
            f" {with_interval(_number(row, 'auc'))} points."
        )


def _gaps(evidence: Evidence) -> Iterator[str]:
    for row in _best(evidence):
        evaluation = evidence.evaluations[row["group"]]
        for gap in evaluation.rows("gaps", "test", metric=["auc"], definition=["gap_of_mean"]):
            shown = "undefined" if gap["value"] is None else _gap(gap)
            yield (
                f"{evidence.front.named(row['label'])}: {gap['attribute']} AUC gap"
                f" ({definition_of('gap_' + gap['attribute'])}) on test {shown}."
            )


def _gap(gap: Row) -> str:
    return f"{with_interval(gap)} points [{with_null(gap)}]"


def _best(evidence: Evidence) -> list[Row]:
    """The most accurate member of the front on validation; none without a front."""
    return evidence.front.members[:1]


def _number(row: Row, name: str) -> Row:
    ends = ("value", "lo", "hi")
    return {end: row.get(f"test_{name}{'' if end == 'value' else f'_{end}'}") for end in ends}


def _fairness(evidence: Evidence) -> Iterator[str]:
    data = [_part(config, "data") for config in evidence.configs]
    samplings = dict.fromkeys(str(each["sampling"]) for each in data if "sampling" in each)
    losses = dict.fromkeys(_loss(config) for config in evidence.configs)
    if samplings:
        yield (
            f"Sampling of training images: {listed(list(samplings))}; loss: {listed(list(losses))}."
        )


def _loss(config: Mapping[str, Any]) -> str:
    loss = _part(config, "adaptation").get("loss")
    return str(loss.get("name")) if isinstance(loss, Mapping) else str(loss or CROSS_ENTROPY.name)


def _same_data(evidence: Evidence) -> Iterator[str]:
    for cohort in evidence.cohorts:
        yield f"Training, validation and test are splits of the same data set, {cohort.folder}."


def _calibration(evidence: Evidence) -> Iterator[str]:
    held = {"brier", "ece", "calibration"} & set(evidence.results.settings.metrics)
    if held:
        yield f"Evaluated by group: {listed([metric_title(name) for name in sorted(held)])}."


def _errors(evidence: Evidence) -> Iterator[str]:
    if "rates" in evidence.results.settings.metrics:
        yield "True and false positive rates of each label in each group, at the operating points."


def _limits(evidence: Evidence) -> Iterator[str]:
    found = study_limits(evidence)
    if found:
        yield f"Found in the files: {'; '.join(limit.title for limit in found)}."


def _stored(evidence: Evidence) -> Iterator[str]:
    done = sum(trial.done for trial in evidence.results.trials)
    yield (
        f"Predictions of {counted(done, 'trial')} for every validation and test image, with"
        f" checksums; specification {evidence.results.stored.spec_sha}."
    )


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


Told = Callable[[Evidence], Iterable[str]]
FACTS: dict[str, tuple[str, Told]] = {
    "claim": ("report, Asked", _claim),
    "sources": (CARD, _sources),
    "terms": (CARD, _terms),
    "flow": (FLOW, _flow),
    "partitions": (FLOW, _partitions),
    "disjoint": ("fairfm data check", _disjoint),
    "preprocessing": (METHODS, _preprocessing),
    "characteristics": (TABLE_ONE, _characteristics),
    "missing": (TABLE_ONE, _missing),
    "label_source": (LIMITS_BOX, _label_source),
    "label_policy": (LIMITS_BOX, _label_policy),
    "small_groups": (LIMITS_BOX, _small_groups),
    "outcomes": (CARD, _outcomes),
    "architecture": (CARD, _architecture),
    "initialisation": (CARD, _initialisation),
    "training": (METHODS, _training),
    "software": (CARD, _software),
    "hardware": ("report, facts; fairfm card", _hardware),
    "selection": (FRONT, _selection),
    "tuning": ("report, Axes; fairfm search", _tuning),
    "metrics": (METHODS, _metrics),
    "thresholds": ("fairfm figures --only roc", _thresholds),
    "uncertainty": (METHODS, _uncertainty),
    "robustness": ("report, Gaps and noise", _robustness),
    "performance": (FRONT, _performance),
    "gaps": ("report, Groups, Gaps and noise; fairfm figures --only forest", _gaps),
    "fairness": ("report, Axes", _fairness),
    "same_data": (LIMITS_BOX, _same_data),
    "calibration": ("fairfm figures --only calibration", _calibration),
    "errors": ("fairfm figures --only roc; fairfm evaluate, metrics.parquet", _errors),
    "limits": (LIMITS_BOX, _limits),
    "stored": ("fairfm export; fairfm results check", _stored),
}
"""Where each fact is shown, and the function that tells it."""
