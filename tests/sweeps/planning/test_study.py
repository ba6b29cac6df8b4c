"""A study's YAML: how it expands, and that every mistake in it is one clear line."""

from __future__ import annotations

from typing import Any

import pytest

from fairfm_core.errors import BadInput
from sweeps.planning.expansion import expand
from sweeps.planning.study import StudySpec, read_study

from ..conftest import WriteStudy


def study(values: dict[str, Any], **changes: Any) -> StudySpec:
    return StudySpec.model_validate({**values, **changes})


def test_every_cell_at_every_seed(study_values: dict[str, Any]) -> None:
    trials = expand(study(study_values))
    assert len(trials) == 2 * 2 * 2
    assert trials[0].name == "probe.standard.s0"
    assert trials[0].axes == {"adaptation": "probe", "data.sampling": "standard"}
    assert trials[-1].name == "tune.balanced.s1"
    assert trials[-1].trial.data.sampling == "balanced"
    assert trials[-1].trial.data.balance == "sex"


def test_a_trial_at_a_further_seed_is_as_one_of_its_own(study_values: dict[str, Any]) -> None:
    """Only the first seed of a cell is validated; the others must equal it but for the seed."""
    together = expand(study(study_values, seeds=[0, 4, 7]))
    apart = [expand(study(study_values, seeds=[seed])) for seed in (0, 4, 7)]
    assert together == [each for cell in zip(*apart, strict=True) for each in cell]


def test_exclude_and_include(study_values: dict[str, Any]) -> None:
    changed = study(
        study_values,
        exclude=[{"adaptation": "tune", "data.sampling": "balanced"}],
        include=[{"name": "longer", "adaptation": {"method": "linear_probe", "epochs": 9}}],
        seeds=[3],
    )
    assert [trial.name for trial in expand(changed)] == [
        "probe.standard.s3",
        "probe.balanced.s3",
        "tune.standard.s3",
        "longer.s3",
    ]
    assert expand(changed)[-1].trial.adaptation.epochs == 9


def test_axes_lay_over_the_base(study_values: dict[str, Any]) -> None:
    one = expand(
        study(study_values, matrix={"backbone.channels": [1, 3], **study_values["matrix"]})
    )
    assert {t.trial.backbone.channels for t in one} == {1, 3}
    assert {t.trial.backbone.name for t in one} == {"test_convnext"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": [1]}, "unknown key 'sedes' .did you mean 'seeds'"),
        ({"evaluation": {"replicate": 3}}, "'evaluation.replicate' .did you mean 'replicates'"),
        ({"resources": {"gpu": 1}}, "did you mean 'gpus'"),
        ({"resources": {"gpus": 1.5}}, "resources.gpus: 1.5 GPUs are not possible"),
        ({"seeds": [1, 1]}, "at least one seed, and each only once, not .1, 1."),
        ({"seeds": []}, "at least one seed"),
        ({"seeds": 3}, r"seeds: must be a list, not 3: write \[3\]"),
        (
            {"matrix": {"data.sampling": "balanced"}},
            r"matrix.data.sampling: must be a list or a mapping of keys to values, not 'balanced'",
        ),
        ({"objectives": []}, "no objectives given"),
        ({"objectives": [{"metric": "val/auc", "goal": "maximize"}] * 2}, "more than once"),
        ({"matrix": {"seed": [0, 1]}}, "under 'seeds'"),
        ({"matrix": {"backbone.channels": []}}, "axis 'backbone.channels' has no value"),
        ({"evaluation": {"metrics": ["breir"]}}, "unknown family of metrics .breir.*brier"),
        ({"evaluation": {"attributes": []}}, "attributes"),
        ({"evaluation": {"attributes": ["sex", "sex"]}}, "attributes"),
        ({"evaluation": {"attributes": ["sex"], "age_edges": [60, 40]}}, "age_edges"),
        ({"study": "a/b"}, "study: 'a/b' cannot name a folder.*such as 'a-b'"),
        ({"objectives": [{"metric": "test/auc", "goal": "maximize"}]}, "test/auc.*validation"),
        ({"objectives": [{"metric": "val/gap_rase", "goal": "minimize"}]}, "val/gap_rase"),
        (
            {"objectives": [{"metric": "val/foo", "goal": "minimize"}]},
            "objectives.0: unknown objective 'val/foo'.*write val/METRIC",
        ),
        ({"objectives": [{"metric": "val/auc", "goal": "max"}]}, "'minimize' or 'ideal'"),
        ({"exclude": [{"adaption": "probe"}]}, "did you mean 'adaptation'"),
        ({"exclude": [{"adaptation": "prob"}]}, "did you mean 'probe'"),
    ],
)
def test_a_mistake_is_one_line(
    write_study: WriteStudy, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_study(write_study(**changes))
    assert "\n" not in str(caught.value)


def test_a_mistake_inside_a_trial_names_the_trial(write_study: WriteStudy) -> None:
    path = write_study(matrix={"adaptation.epoch": [1, 2]})
    with pytest.raises(BadInput, match=r"trial 1\.s0: adaptation"):
        expand(read_study(path))
