"""Imports run only downwards: sweeps -> analysis -> fairfm_core; the core knows no framework."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"ray", "mlflow", "optuna"}
FORBIDDEN = {
    "fairfm_core": {"sweeps", "analysis", *FRAMEWORKS},
    "analysis": {"sweeps", "torch", "timm", *FRAMEWORKS},
    "sweeps": set(),
}
# What analysis may take of the core: nothing that trains.
ANALYSIS_MAY_USE = (
    "artifacts",
    "config",
    "cores",
    "data.cohort",
    "errors",
    "evaluation",
    "seeding",
    "yaml_input",
)


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_only_downwards(package: str) -> None:
    wrong = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in files(package)
        for name in imported(file)
        if name.split(".")[0] in FORBIDDEN[package]
    }
    assert not wrong


def test_analysis_takes_only_the_quiet_rooms_of_the_core() -> None:
    allowed = tuple(f"fairfm_core.{room}" for room in ANALYSIS_MAY_USE)
    wrong = {
        f"{file.name}: {name}"
        for file in files("analysis")
        for name in imported(file)
        if name.startswith("fairfm_core") and not name.startswith(allowed)
    }
    assert not wrong


@pytest.mark.parametrize("room", ["evaluation", "data"])
def test_evaluation_never_imports_torch(room: str) -> None:
    wrong = {
        f"{file.name}: {name}"
        for file in files(f"fairfm_core/{room}")
        if file.name != "transforms.py"
        for name in imported(file)
        if name.split(".")[0] in {"torch", "timm", "torchvision"}
    }
    assert not wrong


@pytest.mark.parametrize("package", ["fairfm_core", "sweeps", "analysis"])
def test_package_files_import_nothing(package: str) -> None:
    assert not [f for f in files(package) if f.name == "__init__.py" and imported(f)]


@pytest.mark.parametrize("command", ["--help", "data --help", "sweep --help", "pareto --help"])
def test_help_loads_no_heavy_library(command: str) -> None:
    code = (
        "import sys; from sweeps.cli import cli\n"
        f"cli.main({command.split()!r}, standalone_mode=False)\n"
        "heavy = {'torch', 'ray', 'mlflow', 'pandas', 'timm', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
