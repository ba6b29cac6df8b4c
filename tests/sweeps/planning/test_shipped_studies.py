"""Every study that is shipped expands to trials; no data are needed to see that one does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fairfm_core.errors import BadInput
from sweeps.planning.expansion import expand
from sweeps.planning.study import StudySpec, read_study, study_searches
from sweeps.search.asked import AskedConfiguration

SHIPPED = sorted((Path(__file__).parents[3] / "sweeps" / "studies").glob("*.yaml"))
EACH = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)


def extremes(study: StudySpec) -> list[AskedConfiguration]:
    """Configurations that take every label and both ends of every range of its search."""
    return [
        AskedConfiguration(one.cell, one.cell_of(chosen), number, chosen, (0,), (1,))
        for one in study_searches(study)
        for number, choose in enumerate(one.space.extremes(), start=1)
        for chosen in (one.space.drawn(choose, {}),)
    ]


def test_there_are_studies() -> None:
    assert SHIPPED


@EACH
def test_it_expands_to_trials_of_their_own_names(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # its folders of data are elsewhere
    study = read_study(path)
    assert study.study == path.stem
    names = [trial.name for trial in expand(study, extremes(study))]
    assert len(set(names)) == len(names) > 0


@EACH
def test_a_slip_within_a_trial_would_be_seen(path: Path, tmp_path: Path) -> None:
    values = yaml.safe_load(path.read_text())
    values["base"].setdefault("backbone", {})["image_sise"] = 32
    broken = tmp_path / path.name
    broken.write_text(yaml.safe_dump(values))
    wrong = read_study(broken)
    with pytest.raises(BadInput, match="image_sise"):
        expand(wrong, extremes(wrong))
