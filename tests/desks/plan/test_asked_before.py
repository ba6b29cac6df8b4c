"""What labels, groups, sizes, folders and devices decide is answered by `sweep plan`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fairfm_core.data.cohort import cohort_digest, write_cohort
from fairfm_core.data.dataset import open_dataset
from fairfm_core.data.manifest import COHORT, write_manifest
from fairfm_core.storage.checksums import checksum_of

from ..command_line import Command, Said
from ..conftest import WriteStudy

pytestmark = pytest.mark.slow  # hundreds of command lines: a minute together

Edit = Callable[[pd.DataFrame], pd.DataFrame]


def relabelled(radiographs: Path, folder: Path, edit: Edit) -> Path:
    """A copy of a data set with an edited cohort, as if it had been prepared so."""
    shutil.copytree(radiographs, folder)
    manifest, frame = open_dataset(folder).manifest, edit(open_dataset(folder).frame)
    write_cohort(frame, folder / COHORT)
    digests = manifest.digests.model_copy(update={"cohort": cohort_digest(frame)})
    assert manifest.checksums is not None
    sums = {"cohort": checksum_of((folder / COHORT).read_bytes())}
    checksums = manifest.checksums.model_copy(update=sums)
    write_manifest(manifest.model_copy(update={"digests": digests, "checksums": checksums}), folder)
    return folder


def without_positives(frame: pd.DataFrame, split: str, sex: str) -> pd.DataFrame:
    """No woman or man of a split has edema."""
    return frame.assign(
        y_Edema=frame["y_Edema"].mask((frame["split"] == split) & (frame["sex"] == sex), 0.0)
    )


def without_group(frame: pd.DataFrame, split: str, race: str) -> pd.DataFrame:
    """Nobody of a split is of this race."""
    gone = (frame["split"] == split) & (frame["race"] == race)
    return frame.assign(race=frame["race"].mask(gone, "White"))


def refused(said: Said) -> str:
    assert said.verdict == "verdict: refused"
    return said.error


# Labels and groups


def test_a_class_that_a_group_lacks_on_validation_is_refused_by_name(
    fairfm: Command, write_study: WriteStudy, radiographs: Path, tmp_path: Path
) -> None:
    data = relabelled(radiographs, tmp_path / "d", lambda f: without_positives(f, "val", "F"))
    line = refused(fairfm("sweep", "plan", write_study(dataset=data)))
    assert "objective val/gap_sex cannot be defined on validation of d: sex F, Edema: " in line
    assert "0 positives among " in line
    assert "--fractions" in line


def test_a_class_that_nobody_has_is_refused_for_the_overall_auc(
    fairfm: Command, write_study: WriteStudy, radiographs: Path, tmp_path: Path
) -> None:
    data = relabelled(
        radiographs,
        tmp_path / "d",
        lambda f: without_positives(without_positives(f, "val", "F"), "val", "M"),
    )
    line = refused(fairfm("sweep", "plan", write_study(dataset=data)))
    assert "objective val/auc cannot be defined on validation of d: Edema: 0 positives" in line


def test_a_group_that_validation_lacks_is_refused_by_name(
    fairfm: Command, write_study: WriteStudy, radiographs: Path, tmp_path: Path
) -> None:
    data = relabelled(radiographs, tmp_path / "d", lambda f: without_group(f, "val", "Black"))
    study = write_study({"evaluation/attributes": ["race"]}, dataset=data)
    line = refused(fairfm("sweep", "plan", study))
    assert "val/gap_race cannot be defined on validation of d: race Black, Atelectasis" in line
    assert "0 images" in line
    assert "(and 2 more cells)" in line


def test_what_validation_refuses_a_label_less_is_planned(
    fairfm: Command, write_study: WriteStudy, radiographs: Path, tmp_path: Path
) -> None:
    data = relabelled(radiographs, tmp_path / "d", lambda f: without_positives(f, "val", "F"))
    study = write_study({"base/data/pathologies": ["Atelectasis", "Cardiomegaly"]}, dataset=data)
    assert fairfm("sweep", "plan", study).code == 0


def test_an_objective_of_rates_needs_one_class_alone(
    fairfm: Command, write_study: WriteStudy, radiographs: Path, tmp_path: Path
) -> None:
    data = relabelled(radiographs, tmp_path / "d", lambda f: without_positives(f, "val", "F"))
    for metric, fits in (("val/gap_fpr@fpr=0.2_sex", True), ("val/gap_tpr@fpr=0.2_sex", False)):
        study = write_study({"objectives": [{"metric": metric, "goal": "minimize"}]}, dataset=data)
        said = fairfm("sweep", "plan", study)
        assert (said.code == 0) == fits
        if not fits:
            assert "sex F, Edema: 0 positives" in refused(said)


def test_equalized_odds_needs_both_classes(
    fairfm: Command, write_study: WriteStudy, radiographs: Path, tmp_path: Path
) -> None:
    data = relabelled(radiographs, tmp_path / "d", lambda f: without_positives(f, "val", "F"))
    goal = [{"metric": "val/gap_equalized_odds@fpr=0.2_sex", "goal": "minimize"}]
    line = refused(fairfm("sweep", "plan", write_study({"objectives": goal}, dataset=data)))
    assert "sex F, Edema: 0 positives" in line


def test_what_only_test_lacks_is_a_warning(
    fairfm: Command, write_study: WriteStudy, radiographs: Path, tmp_path: Path
) -> None:
    data = relabelled(radiographs, tmp_path / "d", lambda f: without_positives(f, "test", "M"))
    said = fairfm("sweep", "plan", write_study(dataset=data))
    assert said.code == 0
    assert "warning: gap_sex will be undefined on test of d" in said.out
    assert "sex M, Edema: 0 positives" in said.out
    assert said.verdict.startswith("verdict: runs with warnings (")


def test_cells_too_small_for_an_interval_are_counted(
    fairfm: Command, write_study: WriteStudy, radiographs: Path, tmp_path: Path
) -> None:
    def one_positive(frame: pd.DataFrame) -> pd.DataFrame:
        women = (frame["split"] == "val") & (frame["sex"] == "F")
        frame = without_positives(frame, "val", "F")
        first = frame.index[women][0]
        return frame.assign(y_Edema=frame["y_Edema"].mask(frame.index == first, 1.0))

    data = relabelled(radiographs, tmp_path / "d", one_positive)
    said = fairfm("sweep", "plan", write_study(dataset=data))
    assert "of sex on validation of d with fewer than 5 positives or negatives" in said.out
    assert "sex F, Edema: 1 positive among " in said.out


def test_a_group_of_the_training_split_alone_is_named(
    fairfm: Command, write_study: WriteStudy, radiographs: Path, tmp_path: Path
) -> None:
    data = relabelled(
        radiographs,
        tmp_path / "d",
        lambda f: without_group(without_group(f, "val", "Black"), "test", "Black"),
    )
    study = write_study({"evaluation/attributes": ["race"]}, dataset=data)
    said = fairfm("sweep", "plan", study)
    assert "warning: race Black is in the training split of d alone" in said.out


def test_what_is_refused_is_refused_by_run_too_and_leaves_nothing(
    fairfm: Command, write_study: WriteStudy, radiographs: Path, tmp_path: Path
) -> None:
    data = relabelled(radiographs, tmp_path / "d", lambda f: without_positives(f, "val", "F"))
    said = fairfm("sweep", "run", write_study(dataset=data), "--results", "r")
    assert "cannot be defined on validation of d: sex F, Edema" in said.error
    assert not list(Path("r").rglob("study.json"))
    assert not Path("r/features").exists()


# Sizes


@pytest.mark.parametrize(
    ("side", "words"),
    [
        (33, "33 is not a multiple of 16, the patch size of 'vit_tiny_patch16_224', so the last 1"),
        (47, "the last 15 px of each side would never be seen; use 32 or 48"),
        (17, "use 16 or 32"),
    ],
)
def test_patches_that_leave_pixels_out_are_refused(
    fairfm: Command, write_study: WriteStudy, side: int, words: str
) -> None:
    backbone = {"name": "vit_tiny_patch16_224", "image_size": side}
    assert words in refused(fairfm("sweep", "plan", write_study({"base/backbone": backbone})))


def test_a_network_of_whole_patches_is_planned(fairfm: Command, write_study: WriteStudy) -> None:
    backbone = {"name": "vit_tiny_patch16_224", "image_size": 32}
    assert fairfm("sweep", "plan", write_study({"base/backbone": backbone})).code == 0


@pytest.mark.parametrize("side", [352, 100_000])
def test_an_absurd_size_is_refused(fairfm: Command, write_study: WriteStudy, side: int) -> None:
    line = refused(fairfm("sweep", "plan", write_study({"base/backbone/image_size": side})))
    assert f"backbone.image_size {side} enlarges the 32 px stored in radiographs" in line
    assert "use at most 320" in line


def test_enlarged_images_are_warned_of(fairfm: Command, write_study: WriteStudy) -> None:
    said = fairfm("sweep", "plan", write_study({"base/backbone/image_size": 64}))
    assert "warning: radiographs is stored as 32 px and enlarged to 64" in said.out
    assert "4.0 times as much; prepare it with --size 64" in said.out


# Devices


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cpus": 4000}, "asks for 4000 CPU on one node"),
        ({"gpus": 400}, "and 400 GPU on one node"),
        ({"gpus": 1.5}, "1.5 GPUs are not possible"),
        ({"gpus": -1}, "resources.gpus: must be at least 0, not -1"),
        ({"cpus": 0}, "resources.cpus: must be above 0, not 0"),
    ],
)
def test_resources_that_this_machine_lacks_are_refused(
    fairfm: Command, write_study: WriteStudy, asked: dict[str, Any], words: str
) -> None:
    assert words in refused(fairfm("sweep", "plan", write_study({"resources": asked})))


def test_a_cluster_is_not_compared_with_this_machine(
    fairfm: Command, write_study: WriteStudy
) -> None:
    study = write_study({"resources": {"gpus": 400}})
    assert fairfm("sweep", "plan", study, "--elsewhere").code == 0


def test_a_network_larger_than_the_memory_is_refused(
    fairfm: Command, write_study: WriteStudy
) -> None:
    tune = {"method": "end_to_end", "recipe": "smoke", "batch_size": 10**9}
    study = write_study({"matrix/adaptation": {"tune": tune}})
    line = refused(fairfm("sweep", "plan", study))
    assert "training takes at least" in line
    assert "GB of memory, and " in line
    assert "lower image_size, batch_size or micro_batch" in line


# Folders


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("{data}", "radiographs is a prepared data set; give another folder with --results"),
        ("study.yaml", "study.yaml is a file, not a folder"),
        ("study.yaml/inner", "study.yaml is a file, not a folder"),
        ("/proc/results", "/proc/results cannot be written"),
        ("n" * 300, "file name too long"),
        ("nope://x", "nope://x cannot be opened"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_folders_that_cannot_hold_results_are_refused(
    fairfm: Command,
    write_study: WriteStudy,
    radiographs: Path,
    folder: str,
    words: str,
    command: str,
) -> None:
    folder = folder.format(data=radiographs)
    line = fairfm("sweep", command, write_study(), "--results", folder).error
    assert words in line
    assert "Errno" not in line


# Axes, seeds, names


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"matrix": {"data.sampling": ["standard", "standard"]}},
            "axis 'data.sampling' lists 'standard' twice",
        ),
        (
            {"matrix/adaptation.epochs": [2, 3]},
            "axes 'adaptation' and 'adaptation.epochs' both write adaptation.epochs",
        ),
        (
            {"matrix": {"weights": ["scratch"], "weights.pretraining.epochs": [1, 2]}},
            "axes 'weights' and 'weights.pretraining.epochs' both write weights",
        ),
        ({"seeds": [True]}, "seeds are whole numbers, not true or false: [True]"),
        ({"seeds": [0, 0]}, "each only once"),
        ({"study": "a" * 300}, "a study's name has at most 100 characters, not 300"),
        ({"study": "Ä" * 300}, "cannot name a folder of results"),
        (
            {"matrix/adaptation": {"l" * 300: {"method": "linear_probe"}}},
            "a label has at most 100 characters, not 300",
        ),
    ],
)
def test_axes_seeds_and_names(
    fairfm: Command, write_study: WriteStudy, changes: dict[str, Any], words: str
) -> None:
    assert words in refused(fairfm("sweep", "plan", write_study(changes)))


def test_an_axis_beside_its_parent_that_writes_other_keys_is_planned(
    fairfm: Command, write_study: WriteStudy
) -> None:
    said = fairfm("sweep", "plan", write_study({"matrix/adaptation.pool": ["auto", "avg"]}))
    assert said.code == 0


# The verdict


def test_a_program_reads_the_verdict(fairfm: Command, write_study: WriteStudy) -> None:
    said = fairfm("sweep", "plan", write_study(), "--json")
    assert said.code == 0
    record = json.loads(said.out)
    assert record["verdict"].startswith("runs")
    assert record["refusals"] == []
    said = fairfm("sweep", "plan", write_study({"resources": {"gpus": 400}}), "--json")
    record = json.loads(said.out)
    assert record["verdict"] == "refused"
    assert record["refusals"] == [said.error.removeprefix("error: ")]
    said = fairfm("sweep", "plan", write_study({"study": ""}), "--json")
    assert json.loads(said.out)["verdict"] == "refused"


def test_a_thousand_trials_are_not_a_thousand_lines(
    fairfm: Command, write_study: WriteStudy
) -> None:
    for command in ("plan", "status"):
        said = fairfm("sweep", command, write_study({"seeds": list(range(1004))}))
        assert said.code == 0
        assert len(said.out.splitlines()) < 100
        assert "... 944 more (all: --json)" in said.out
