"""What trials save by sharing stages."""

from __future__ import annotations

from collections.abc import Sequence

from fairfm_core.stages import Stage
from sweeps.status.image_passes import sharing_lines

PASSES = {"pretrain": 800, "features": 10, "adapt": 100, "evaluate": 0}


def stage(kind: str, name: str) -> Stage:
    return Stage(kind, {"name": name}, "data", "digest")


def distinct(trials: Sequence[Sequence[Stage]]) -> list[Stage]:
    return list({each.fingerprint: each for trial in trials for each in trial}.values())


def passes(one: Stage) -> int:
    return PASSES[one.kind]


def test_each_kind_is_counted_once_and_for_each_trial() -> None:
    encoder, features = stage("pretrain", "mae"), stage("features", "mae")
    trials = [
        (encoder, features, stage("evaluate", "probe")),
        (encoder, features, stage("evaluate", "other probe")),
        (encoder, stage("adapt", "tune"), stage("evaluate", "tune")),
    ]
    assert sharing_lines(distinct(trials), trials, passes) == [
        "shared work (image passes of all trials; with one pipeline for each trial):",
        "  pretrain: 800; 2,400, 3 times as many",
        "  features: 10; 20, 2 times as many",
        "  all: 910; 2,520, 2.8 times as many",
    ]


def test_nothing_is_said_where_nothing_is_shared() -> None:
    trials = [(stage("adapt", "a"),), (stage("adapt", "b"),)]
    assert not sharing_lines(distinct(trials), trials, passes)


def test_a_little_saved_is_not_once_as_many() -> None:
    lone = [(stage("pretrain", str(n)),) for n in range(30)]
    twice = [(stage("pretrain", "a"), stage("features", "a"))] * 2
    trials = [*lone, *twice]
    *_, whole = sharing_lines(distinct(trials), trials, passes)
    assert whole == "  all: 24,810; 25,620, 3 % more"
