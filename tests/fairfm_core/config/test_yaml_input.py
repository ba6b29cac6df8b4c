"""YAML of users: every mistake is one line that says where it is and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.trial import Data, Trial
from fairfm_core.config.yaml_input import read_yaml, validated
from fairfm_core.errors import BadInput

GOOD = {
    "backbone": {"name": "test_vit"},
    "adaptation": {"method": "end_to_end"},
    "data": {"dataset": "x"},
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


def test_numbers_without_a_dot_are_numbers(tmp_path: Path) -> None:
    assert read_yaml(write(tmp_path, "a: 1e-4\nb: 1E3\nc: '1e-4'\n")) == {
        "a": 1e-4,
        "b": 1e3,
        "c": "1e-4",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "'a' is repeated at line 2"),
        ("a:\n  b: 1\n  b: 2\n", "'b' is repeated at line 3"),
        ("a: [1\n", "not valid YAML"),
        ("- 1\n", "must hold a mapping"),
        ("", "must hold a mapping"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_yaml(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_merge_key_takes_over_the_keys_of_another_mapping(tmp_path: Path) -> None:
    path = write(tmp_path, "a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}\n")
    assert read_yaml(path) == {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        read_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sede": 1}, "unknown key 'sede' .did you mean 'seed'"),
        ({"backbone": {"name": "x", "img_size": 3}}, "did you mean 'image_size'"),
        (
            {"adaptation": {"method": "end_to_end", "epoch": 3}},
            "unknown key 'adaptation.epoch' .did you mean 'epochs'",
        ),
        ({"seed": -1}, "seed: must be at least 0, not -1$"),
        ({"adaptation": {"method": "none"}}, "adaptation: method 'none' is not .*linear_probe"),
        ({"adaptation": {"epochs": 3}}, "adaptation: name its method$"),
        ({"adaptation": {"method": "end_to_end", "epochs": 1.5}}, "epochs: must be a whole number"),
        ({"adaptation": {"method": "end_to_end", "betas": ["x", 0]}}, "adaptation.betas.0: must"),
        ({"data": {}}, "data.dataset: is required"),
        ({"data": 3}, "data: must be a mapping of keys to values, not 3$"),
        ({"data": {"dataset": "x", "balance": 3}}, "data.balance: must be text or a list, not 3$"),
        (
            {"data": {"dataset": "x", "pathologies": "Edema"}},
            r"data.pathologies: must be a list, not 'Edema': write \['Edema'\]",
        ),
        (
            {"data": {"dataset": "x", "sampling": ["balanced"]}},
            "data.sampling: .*did you mean 'balanced'.*known: standard, balanced",
        ),
        (
            {"pretraining": {"method": "mae", "corpora": ["a"], "epochz": 3}},
            "unknown key 'pretraining.epochz' .did you mean 'epochs'.*mask_ratio",
        ),
        (
            {"adaptation": {"method": "end_to_end", "loss": {"name": "focal", "gama": 1}}},
            "unknown key 'adaptation.loss.gama' .did you mean 'gamma'",
        ),
        ({"adaptation": {"method": "end_to_end", "recipe": "papr"}}, "did you mean 'paper'"),
        ({"backbone": {"name": "x", "image_size": 8}}, "image_size: must be at least 16, not 8$"),
        ({"backbone": {"name": "x", "channels": 2}}, "channels: must be 1 or 3, not 2$"),
        ({"backbone": {"name": "x", "crop_pct": 1.5}}, "crop_pct: .*up to 1, not 1.5;"),
        ({"backbone": {"name": "x", "crop_pct": 0}}, "crop_pct: .*above 0.*, not 0;"),
        (
            {"adaptation": {"method": "end_to_end", "betas": [0.9, 0.9, 0.9]}},
            r"betas: must be a list of at most 2, not \[0.9, 0.9, 0.9\]$",
        ),
        (
            {"adaptation": {"method": "end_to_end", "base_lr": float("nan")}},
            "base_lr: must be .*, not nan$",
        ),
    ],
)
def test_wrong_keys_name_the_nearest(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        validated(Trial, GOOD | change, "study.yaml")
    assert str(caught.value).startswith("study.yaml: ")
    assert "\n" not in str(caught.value)


ODD: list[object] = [None, True, -1, 0, 1.5, 10**30, float("nan"), "", "x", [], [1], {}, {"a": 1}]
"""Values that some fields accept and others refuse."""
LIBRARY = re.compile(
    r"[Ii]nput should|valid (string|integer|list|dictionary|tuple)|pydantic|type=|\n"
)


@pytest.mark.parametrize("part", ["backbone", "adaptation", "data", "pretraining", "weights"])
def test_no_refusal_is_in_the_words_of_a_library(part: str) -> None:
    given = [REQUIRED[part] | {name: value} for name in FIELDS[part] for value in ODD]
    messages = [refusal({part: value}) for value in (*given, *ODD)]
    assert len(list(filter(None, messages))) > len(FIELDS[part])
    assert [message for message in messages if LIBRARY.search(message)] == []


def refusal(change: dict[str, object]) -> str:
    """Why a trial with these values is refused; empty if it is not."""
    try:
        validated(Trial, GOOD | change, "study.yaml")
    except BadInput as error:
        return str(error)
    return ""


REQUIRED: dict[str, dict[str, object]] = {
    "backbone": {"name": "test_vit"},
    "adaptation": {"method": "end_to_end"},
    "data": {"dataset": "x"},
    "pretraining": {"method": "mae", "corpora": ["a"]},
    "weights": {"model": "mae"},
}
FIELDS = {
    "backbone": list(Backbone.model_fields),
    "adaptation": list(EndToEnd.model_fields),
    "data": list(Data.model_fields),
    "pretraining": ["method", "corpora", "epochs", "fraction", "mask_ratio", "batch_size", "seed"],
    "weights": ["model", "file", "format", "sha256", "heads", "key", "prefix"],
}
