"""On what terms the trials of a study are compared: images, training, and what differs unnamed.

A difference is named where an axis or an included trial writes the value, or the recipe that sets
it. Any other difference between trials that agree in the axes that name the value is a warning: in
the results it would be attributed to whatever else distinguishes the trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from analysis.results.study_record import configuration_label
from analysis.wording import counted, listed, short_axis
from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.fingerprint import canonical_json
from fairfm_core.config.frozen import Frozen
from fairfm_core.config.trial import Trial
from fairfm_core.data.manifest import Manifest
from sweeps.planning.expansion import StudyTrial
from sweeps.planning.shared_settings import BACKBONE_KEYS
from sweeps.planning.study import StudySpec, study_searches

MOST_NAMED = 3
"""Trials that are named; further ones are counted."""
WHOLE_RECIPE = {"adaptation.recipe", "adaptation.method"}
"""Keys that set every other field of an adaptation."""
INCLUDE = "include"
"""The axis of included trials."""


@dataclass(frozen=True)
class Comparison:
    """The terms of a study's comparison, in lines of text."""

    images: tuple[str, ...]
    """How images are shown to the networks and stored."""
    training: tuple[str, ...]
    """Epochs and batch size by method."""
    notes: tuple[str, ...]
    """What was made equal, and where the paper differs."""
    warnings: tuple[str, ...]
    """What differs although no axis names it."""

    def as_json(self) -> dict[str, list[str]]:
        """The lines as JSON values."""
        return {name: list(lines) for name, lines in asdict(self).items()}

    def text(self) -> list[str]:
        """The lines as `fairfm sweep plan` prints them."""
        lines = ["images:", *(f"  {line}" for line in self.images)]
        lines += ["training:", *(f"  {line}" for line in self.training)]
        lines += ["terms:", *(f"  {line}" for line in self.notes)] if self.notes else []
        return lines + [f"warning: {warning}" for warning in self.warnings]


def comparison(
    study: StudySpec,
    trials: Sequence[StudyTrial],
    stores: Mapping[str, Manifest],
    notes: tuple[str, ...] = (),
) -> Comparison:
    """The terms on which the trials are compared; `stores` are their data by path in the study."""
    trials = _one_a_configuration(trials)
    enlarged = [_enlarged(trial.trial, stores[trial.trial.data.dataset]) for trial in trials]
    return Comparison(
        images=(
            *_listed(study, [(trial, look_text(trial.trial.backbone)) for trial in trials]),
            *(_store_text(path, manifest) for path, manifest in stores.items()),
            *dict.fromkeys(line for line in enlarged if line),
        ),
        training=tuple(_budgets(study, trials)),
        notes=notes,
        warnings=tuple(dict.fromkeys(_warnings(study, trials, stores))),
    )


def _one_a_configuration(trials: Sequence[StudyTrial]) -> list[StudyTrial]:
    """The first trial of each configuration: no term depends on a seed."""
    first: dict[str, StudyTrial] = {}
    for trial in trials:
        first.setdefault(_configuration(trial), trial)
    return list(first.values())


def look_text(backbone: Backbone) -> str:
    """How a network sees an image in evaluation, in words."""
    share, side = backbone.crop_pct, backbone.image_size
    crop = "whole image" if share == 1 else f"centre crop {share:g} of the side"
    return f"{crop}, {backbone.interpolation} to {side} x {side} px, {statistics_text(backbone)}"


def statistics_text(backbone: Backbone) -> str:
    """The statistics that normalise a backbone's images: `cxr (mean 0.5056, std 0.252)`."""
    mean, std = (
        " ".join(f"{x:g}" for x in (values[:1] if len(set(values)) == 1 else values))
        for values in backbone.statistics
    )
    numbers, given = f"mean {mean}, std {std}", backbone.normalisation
    return f"{given} ({numbers})" if isinstance(given, str) else numbers


# Lines


def _budgets(study: StudySpec, trials: Sequence[StudyTrial]) -> Iterator[str]:
    """Epochs and batch size of each method."""
    for method in dict.fromkeys(trial.trial.adaptation.method for trial in trials):
        its = [trial for trial in trials if trial.trial.adaptation.method == method]
        yield from _listed(study, [(trial, _budget_text(trial.trial)) for trial in its])


def _budget_text(trial: Trial) -> str:
    recipe = trial.adaptation
    return f"{recipe.method}: {counted(recipe.epochs, 'epoch')}, batch {recipe.batch_size}"


def _store_text(path: str, manifest: Manifest) -> str:
    side = manifest.size
    return f"{Path(path).name}: stored as {side} x {side} px ({manifest.resizing})"


def _enlarged(trial: Trial, manifest: Manifest) -> str:
    """A line if evaluation enlarges the stored pixels; empty otherwise."""
    share, side = trial.backbone.crop_pct, trial.backbone.image_size
    cropped = round(share * manifest.size)
    if cropped >= side:
        return ""
    enough = next(size for size in count(int(side / share) - 1) if round(share * size) >= side)
    return (
        f"{Path(trial.data.dataset).name}: the {cropped} px that evaluation sees are enlarged to "
        f"{side}; `fairfm data prepare --size {enough}` stores enough"
    )


def _listed(study: StudySpec, texts: Sequence[tuple[StudyTrial, str]]) -> Iterator[str]:
    """Each distinct text, with those it holds for unless it holds for all."""
    groups = _by_value(texts)
    for text, who in zip(groups, _names(study, groups), strict=True):
        yield f"{text} ({who})" if len(groups) > 1 else text


# Differences


@dataclass(frozen=True)
class Compared:
    """A value that should be equal for trials that are compared, unless an axis names it."""

    name: str
    paths: tuple[str, ...]
    """Keys by which a study may write it."""
    value: Callable[[Trial, Mapping[str, Manifest]], str | None]
    """The value in words; None for trials that have none."""
    remedy: str
    """How to make it equal."""
    why: str = ""
    """Why a recipe may make this difference."""

    def is_named_by(self, path: str) -> bool:
        """Whether a study that writes `path` writes this value."""
        if path in WHOLE_RECIPE and self._of_adaptation:
            return True
        return any(
            f"{path}.".startswith(f"{own}.") or f"{own}.".startswith(f"{path}.")
            for own in self.paths
        )

    def within(self, trial: Trial) -> str:
        """What else must agree for trials to be compared: the method of an adaptation's values."""
        return trial.adaptation.method if self._of_adaptation else ""

    @property
    def _of_adaptation(self) -> bool:
        return any(path.startswith("adaptation.") for path in self.paths)


@dataclass(frozen=True)
class UnnamedDifference:
    """Values that differ between compared trials."""

    compared: Compared
    values: tuple[str, ...]
    who: tuple[str, ...]
    """The trials of each value."""

    def text(self) -> str:
        """One line."""
        pairs = [f"{value} ({who})" for value, who in zip(self.values, self.who, strict=True)]
        why = f" ({self.compared.why})" if self.compared.why else ""
        return (
            f"{self.compared.name} differs and no axis names it: {listed(pairs)}{why}; to make it "
            f"equal, {self.compared.remedy}"
        )


NO_PERMUTATIONS = (
    "evaluation.permutations has no effect: the null of a gap is made of the bootstrap's "
    "replicates; remove the key"
)


def _warnings(
    study: StudySpec, trials: Sequence[StudyTrial], stores: Mapping[str, Manifest]
) -> Iterator[str]:
    if study.evaluation.permutations is not None:
        yield NO_PERMUTATIONS
    axes = {axis: _written(axis, values) for axis, values in study.matrix.items()}
    included = dict(_included(study))
    searched = {key for one in study_searches(study) for key in one.space.keys}
    for compared in COMPARED:
        naming = [axis for axis, paths in axes.items() if any(map(compared.is_named_by, paths))]
        alike: dict[tuple[str, ...], list[tuple[StudyTrial, str]]] = {}
        for trial in trials:
            value = compared.value(trial.trial, stores)
            own = searched if trial.asked else included.get(trial.axes.get(INCLUDE, ""), set())
            if value is not None and not any(map(compared.is_named_by, own)):
                labels = [trial.axes.get(axis, "") for axis in naming]
                alike.setdefault((compared.within(trial.trial), *labels), []).append((trial, value))
        for pairs in alike.values():
            groups = _by_value(pairs)
            if len(groups) > 1:
                yield UnnamedDifference(
                    compared, tuple(groups), tuple(_names(study, groups))
                ).text()


def _by_value(pairs: Sequence[tuple[StudyTrial, str]]) -> dict[str, list[StudyTrial]]:
    groups: dict[str, list[StudyTrial]] = {}
    for trial, value in pairs:
        groups.setdefault(value, []).append(trial)
    return groups


def _names(study: StudySpec, groups: Mapping[str, Sequence[StudyTrial]]) -> list[str]:
    """Those of each group: the labels of the axis that tells the groups apart, else names."""
    for axis in study.matrix:
        labels = [list(dict.fromkeys(t.axes.get(axis) for t in group)) for group in groups.values()]
        flat = [label for each in labels for label in each]
        if None not in flat and len(set(flat)) == len(flat):
            return [f"{short_axis(axis)} {', '.join(map(str, each))}" for each in labels]
    return [_some([_configuration(trial) for trial in group]) for group in groups.values()]


def _configuration(trial: StudyTrial) -> str:
    """The trial's name without its seeds."""
    return configuration_label(trial.name, trial.trial.seed, trial.pretraining_seed)


def _some(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    rest = len(distinct) - MOST_NAMED
    return ", ".join(distinct[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _written(axis: str, values: Any) -> set[str]:
    """The paths that the values of an axis write, down to single values."""
    each = values.values() if isinstance(values, dict) else values
    return {path for value in each for path in _paths(axis, value)}


def _included(study: StudySpec) -> Iterator[tuple[str, set[str]]]:
    """The paths that each included trial writes, by its name."""
    for number, extra in enumerate(study.include):
        paths = {path for key, value in extra.items() for path in _paths(key, value)}
        yield str(extra.get("name", f"extra{number}")), paths


def _paths(place: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _paths(f"{place}.{key}", inner)
    else:
        yield place


# What is compared


def _of_recipe(name: str) -> Compared:
    """A field of the adaptation."""

    def value(trial: Trial, stores: Mapping[str, Manifest]) -> str | None:
        if name not in type(trial.adaptation).model_fields:
            return None
        given = getattr(trial.adaptation, name)
        return canonical_json(given.content()) if isinstance(given, Frozen) else f"{given}"

    path = f"adaptation.{name}"
    return Compared(path, (path,), value, f"set {path} in base", WHY.get(name, ""))


def _of_images(name: str, key: str, value: Callable[[Backbone], str]) -> Compared:
    """How a network sees its images."""
    field = next(field for field, inner in BACKBONE_KEYS.items() if inner == key)
    paths = f"images.{field}", f"backbone.{key}"
    return Compared(name, paths, lambda trial, _: value(trial.backbone), f"set images.{field}")


def _store_sizes(trial: Trial, stores: Mapping[str, Manifest]) -> str:
    manifest = stores[trial.data.dataset]
    return f"{manifest.size} px, {manifest.resizing}"


def _corpus_sizes(trial: Trial, stores: Mapping[str, Manifest]) -> str | None:
    if trial.pretraining is None:
        return None
    return ", ".join(dict.fromkeys(f"{stores[each].size} px" for each in trial.pretraining.corpora))


WHY = {
    "layer_decay": "recipes decay the layers of pre-trained transformers only, as it would freeze "
    "the stem of a random one",
}
"""Why recipes set a field by the weights."""
PREPARE = "prepare them with the same --size and --resize"
COMPARED = (
    _of_images("the centre crop of evaluation", "crop_pct", lambda seen: f"{seen.crop_pct:g}"),
    _of_images("the normalisation of images", "normalisation", statistics_text),
    _of_images("interpolation", "interpolation", lambda seen: seen.interpolation),
    Compared(
        "the network's input",
        ("backbone.image_size",),
        lambda trial, _: f"{trial.backbone.image_size} px",
        "set backbone.image_size in base",
    ),
    *(
        _of_recipe(name)
        for name in dict.fromkeys([*EndToEnd.model_fields, *LinearProbe.model_fields])
        if name != "method"
    ),
    Compared("the stored size of images", (), _store_sizes, PREPARE),
    Compared("the stored size of the corpora's images", (), _corpus_sizes, PREPARE),
)
"""What should be equal, in the order of the warnings."""
