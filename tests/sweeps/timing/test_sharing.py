"""What trials save by sharing stages, in image passes, epochs and GPU-hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fairfm_core.stages import Beginning, Stage, joined_trunks
from sweeps.timing.sharing import Sharing, WorkAmount, sharing_lines, sharing_of

PASSES = {"features": 10, "adapt": 100}


def stage(kind: str, name: str, epochs: int = 8) -> Stage:
    recipe = {"method": "mae", "epochs": epochs, "warmup_epochs": 0}
    config = {"pretraining": recipe} if kind in ("trunk", "pretrain") else {}
    return Stage(kind, {"name": name, **config}, "data", "digest", corpora=("images",))


def amount(one: Stage) -> WorkAmount:
    """A hundred images in an epoch of pre-training, and a GPU-hour for ten passes."""
    before = one.continues.epochs if one.continues else 0
    epochs = one.config.get("pretraining", {"epochs": 0})["epochs"] - before
    passes = 100 * epochs or PASSES.get(one.kind, 0)
    return WorkAmount(passes, passes / 10)


def shared(trials: Sequence[Sequence[Stage]]) -> Sharing:
    distinct = {each.fingerprint: each for trial in trials for each in trial}
    return sharing_of(trials, joined_trunks(distinct), amount)


def test_each_way_of_sharing_says_what_it_saves() -> None:
    encoder, features = stage("pretrain", "mae"), stage("features", "mae")
    found = shared(
        [
            (encoder, features, stage("evaluate", "probe")),
            (encoder, features, stage("evaluate", "other probe")),
            (encoder, stage("adapt", "tune"), stage("evaluate", "tune")),
        ]
    )
    first, *lines = sharing_lines(found)
    assert first.startswith("shared work (against one pipeline for each trial; GPU-hours by")
    assert lines == [
        "  pre-trainings, once for all that start from them: saves 16 epochs of pre-training, "
        "1,600 image passes, 160 GPU-hours",
        "  features, once for all probes of them: saves 10 image passes, 1 GPU-hours",
        "  all: 910 image passes, 91 GPU-hours, instead of 2,520 image passes, 252 GPU-hours, "
        "2.77 times fewer GPU-hours",
    ]
    assert found.as_json()["ratio"] == pytest.approx(252 / 91)


def test_lengths_on_a_trunk_save_the_epochs_before() -> None:
    trials = []
    for epochs, before in ((200, 160), (400, 320), (800, 640)):
        trunk = stage("trunk", "mae", before)
        whole = replace(
            stage("pretrain", "mae", epochs), continues=Beginning(trunk.fingerprint, before)
        )
        trials.append((trunk, whole))
    found = shared(trials)
    (saving,) = found.savings
    assert (saving.epochs, saving.amount.passes) == (160 + 320, 48_000)
    assert (found.once.passes, found.alone.passes) == (92_000, 140_000)


def test_the_savings_are_the_whole_difference() -> None:
    """Also where trials share a length whose trunk another length shares."""
    trunks = {before: stage("trunk", "mae", before) for before in (4, 8)}
    wholes = {
        before: replace(
            stage("pretrain", "mae", before + 2), continues=Beginning(trunk.fingerprint, before)
        )
        for before, trunk in trunks.items()
    }
    trials = [(trunks[before], wholes[before]) for before in (4, 8, 8, 4, 4)]
    found = shared(trials)
    saved = sum(each.amount.passes for each in found.savings)
    assert found.alone.passes - found.once.passes == saved > 0


def test_nothing_is_said_where_nothing_is_shared() -> None:
    assert not sharing_lines(shared([(stage("adapt", "a"),), (stage("adapt", "b"),)]))


def test_a_little_saved_is_not_once_as_little() -> None:
    lone = [(stage("pretrain", str(n)),) for n in range(5)]
    *_, whole = sharing_lines(shared([*lone, *[(stage("features", "a"),)] * 2]))
    assert whole.endswith("instead of 4,020 image passes, 402 GPU-hours, 0.2% fewer GPU-hours")
