"""What travels to a cluster, and of which commit it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairfm_core.errors import BadInput
from sweeps.cluster import package
from sweeps.cluster.package import packed
from sweeps.code_version import RECORDED, code_version

from .conftest import commit


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of this program, as far as that can be told from its files."""
    folder = tmp_path / "work"
    (folder / "sweeps").mkdir(parents=True)
    (folder / "sweeps" / "cli.py").write_text("")
    (folder / "study.yaml").write_text("study: first\n")
    (folder / ".gitignore").write_text("large/\n")
    commit(folder)
    (folder / "large").mkdir()
    (folder / "large" / "scan.bin").write_bytes(b"0" * 1000)
    return folder


def names(folder: Path) -> set[str]:
    """The files below a folder."""
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_ignored_files_stay_and_the_commit_travels(checkout: Path) -> None:
    with packed(checkout / "sweeps", checkout / "study.yaml") as sent:
        assert names(sent.folder) == {"sweeps/cli.py", "study.yaml", ".gitignore", RECORDED}
        assert code_version(sent.folder) == sent.version == code_version(checkout)
        assert "+dirty" not in code_version(sent.folder)
        assert sent.path_of(checkout / "study.yaml") == "study.yaml"
    assert not sent.folder.exists()


def test_local_changes_travel_and_are_named(checkout: Path) -> None:
    (checkout / "sweeps" / "cli.py").write_text("changed = True\n")
    (checkout / "new.py").write_text("")
    (checkout / "gone.py").symlink_to("nowhere")
    with packed(checkout, checkout / "study.yaml") as sent:
        assert (sent.folder / "sweeps" / "cli.py").read_text() == "changed = True\n"
        assert "new.py" in names(sent.folder)
        assert sent.version is not None
        assert sent.version.endswith("+dirty")
        assert sent.told.startswith("package: 4 files, 0.0 MB (")


def test_an_ignored_study_travels_because_it_was_named(checkout: Path) -> None:
    (checkout / "large" / "study.yaml").write_text("study: second\n")
    with packed(checkout, checkout / "large" / "study.yaml") as sent:
        assert (
            sent.folder / sent.path_of(checkout / "large" / "study.yaml")
        ).read_text() == "study: second\n"
        assert "large/scan.bin" not in names(sent.folder)


def test_files_of_keys_and_passwords_stay(checkout: Path) -> None:
    for name in (".env", ".env.local", "head.pem", "id_ed25519", ".netrc", "environment.py"):
        (checkout / name).write_text("hunter2")
    with packed(checkout, checkout / "study.yaml") as sent:
        assert "environment.py" in names(sent.folder)
        assert set(sent.secrets) == {".env", ".env.local", ".netrc", "head.pem", "id_ed25519"}
        assert "left out as secret: .env, " in sent.told


def test_without_git_all_but_hidden_files_and_caches_travel(tmp_path: Path) -> None:
    for name in ("study.yaml", "own.py", ".cache/x", "__pycache__/own.pyc", "results/big"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    with packed(tmp_path, tmp_path / "study.yaml") as sent:
        assert names(sent.folder) == {"study.yaml", "own.py"}
        assert sent.version is None
        assert "the cluster's own fairfm runs it" in sent.told


def test_too_much_is_refused_with_the_largest_files(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "LARGEST", 5_000_000)
    (checkout / "scans.bin").write_bytes(b"0" * 6_000_000)
    with (
        pytest.raises(BadInput, match=r"6 MB that would travel, more than 5: scans.bin \(6 MB\)"),
        packed(checkout, checkout / "study.yaml"),
    ):
        pass


def test_a_study_from_elsewhere_is_refused(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("study: other\n")
    with pytest.raises(BadInput, match="is outside"), packed(checkout, tmp_path / "other.yaml"):
        pass
    with pytest.raises(BadInput, match="there is no study"), packed(checkout, checkout / "x.yaml"):
        pass
