"""YAML of users: every mistake is one line that says where it is and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairfm_core.config.trial import Trial
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
        ({"seed": -1}, "seed: .*greater than or equal to 0"),
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
    ],
)
def test_wrong_keys_name_the_nearest(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        validated(Trial, GOOD | change, "study.yaml")
    assert str(caught.value).startswith("study.yaml: ")
    assert "\n" not in str(caught.value)
