"""Which disks are local."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.tracking import disks
from sweeps.tracking.disks import network_file_system
from sweeps.tracking.runs import open_writer

from .conftest import STUDY, database, store_of

MOUNTED = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /shared rw shared:2 - nfs4 head:/export rw,vers=4.2
41 40 8:2 / /shared/local\040disk rw - xfs /dev/sdb rw
42 22 0:36 / /mnt/lustre rw - lustre mds@tcp:/fs rw
43 22 0:37 / /home/ann rw - nfs filer:/home rw
44 43 8:3 / /home/ann rw - ext4 /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/mlflow.db", None),
        ("/shared/results/mlflow.db", "nfs4"),
        ("/shared", "nfs4"),
        ("/sharedness/mlflow.db", None),
        ("/shared/local disk/mlflow.db", None),
        ("/mnt/lustre/x/y", "lustre"),
        ("/home/ann/mlflow.db", None),
    ],
)
def test_the_nearest_and_last_mount_decides(
    path: str, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTED)
    monkeypatch.setattr(disks, "MOUNTS", tmp_path / "mountinfo")
    assert network_file_system(Path(path)) == kind


def test_where_nothing_is_said_disks_are_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "MOUNTS", tmp_path / "none")
    assert network_file_system(tmp_path) is None


@pytest.mark.slow
def test_a_database_on_a_network_file_system_is_warned_of(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run goes on: the results are the truth, and MLflow can be made again."""
    monkeypatch.setattr(disks, "MOUNTS", results / "mountinfo")
    (results / "mountinfo").write_text("22 1 0:35 / / rw - nfs4 filer:/ rw\n")
    _, notes = open_writer(store_of(results), STUDY, database(results))
    assert len(notes) == 1
    assert notes[0].startswith(f"{results}/mlflow.db is on a network file system (nfs4), where ")
