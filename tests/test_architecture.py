"""Imports run only downwards: between packages, between the rooms inside them, without a circle.

The rooms of each package stand in `ORDER` from the ground up. A room is a folder, or a module that
stands beside folders; it may import the rooms above its own line in the list and nothing else of
its package. Imports under TYPE_CHECKING and inside functions count like any other.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"ray", "mlflow", "optuna"}
FORBIDDEN = {
    "fairfm_core": {"sweeps", "analysis", *FRAMEWORKS},
    "analysis": {"sweeps", "torch", "timm", *FRAMEWORKS},
    "sweeps": set(),
}
ORDER = {
    "fairfm_core": """
        control_groups
        errors seeding cores compiled
        yaml_text
        config
        storage
        artifacts
        stages
        running snapshot
        data.groups data.cohort_checks data.attribute_values data.frame_content
        data.cohort data.splits data.manifest
        data.balancing
        data.image_store
        data.node_copy
        data.dataset
        data.duplicates data.contact_sheet
        data.summary data.summary_figure
        data.population
        data.readers
        data.synthetic
        data.preparation
        data.corpora
        evaluation.arrays evaluation.tables
        evaluation.predictions evaluation.auc
        evaluation.groups evaluation.operating_points
        evaluation.reading
        evaluation.metrics
        evaluation.numbers evaluation.pairing
        evaluation.summary
        evaluation.protocols
        evaluation.problem
        evaluation.kernels
        evaluation.resampling
        evaluation.disaggregated
        evaluation.power
        evaluation.evaluate evaluation.curves
        evaluation.stage evaluation.selection
        evaluation.ensembles
        models.position_tables models.synchronised_norm models.image_noise
        models.backbones
        models.class_token
        models.mae models.moco_v3
        models.memory
        models.weights
        models.checkpoints
        training.augmentation training.checkpoint training.device training.losses training.optim
        training.batches training.hardware training.shared_pass
        training.loading training.forward training.adapt_data
        training.features
        training.finetuning training.probing training.pretraining
        training.sixteen_bits
        training.adapt_stage
        commands
    """,
    "analysis": """
        results
        wording figure_files
        cohort
        evaluation front
        study_facts
        ensembles report paper
        figures guidelines card
        power
        commands
    """,
    "sweeps": """
        interrupts processes code_version
        cli
        __main__
        search claims
        planning
        rungs
        status tracking
        upkeep
        preflight
        timing
        live
        ray_session
        cluster
        execution
        doctor found
        api commands
    """,
}
# What analysis may take of the core: nothing that trains.
ANALYSIS_MAY_USE = (
    "artifacts",
    "commands.places",
    "config",
    "cores",
    "data.cohort",
    "data.groups",
    "data.node_copy",
    "data.population.characteristics",
    "errors",
    "evaluation",
    "seeding",
    "snapshot",
    "stages",
    "storage",
)
LARGEST_ROOM = 13


def files(package: str) -> list[Path]:
    """The package's modules; the empty ones that make folders packages are none."""
    listed = sorted((ROOT / package).rglob("*.py"))
    assert listed
    return listed


def module_of(file: Path) -> str:
    """The dotted name of a file."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


@cache
def imported(file: Path) -> frozenset[str]:
    """Every name that a file imports, as `module` and `module.name`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: imports are written out"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def edges(package: str) -> dict[str, set[str]]:
    """Which modules of the package each of its modules imports."""
    modules = {module_of(file): file for file in files(package) if file.name != "__init__.py"}
    return {name: set(modules) & imported(file) - {name} for name, file in modules.items()}


def levels(package: str) -> dict[str, int]:
    """The level of each room, from the ground up."""
    lines = [line.split() for line in ORDER[package].strip().splitlines()]
    return {f"{package}.{room}": level for level, line in enumerate(lines) for room in line}


def room_of(module: str, rooms: dict[str, int]) -> str:
    """The room that a module stands in."""
    held = [room for room in rooms if f"{module}.".startswith(f"{room}.")]
    assert len(held) == 1, f"{module} stands in no room of ORDER, or in two: {held}"
    return held[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_only_downwards(package: str) -> None:
    wrong = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in files(package)
        for name in imported(file)
        if name.split(".")[0] in FORBIDDEN[package]
    }
    assert not wrong


@pytest.mark.parametrize("package", ORDER)
def test_rooms_import_only_downwards(package: str) -> None:
    rooms = levels(package)
    wrong = []
    for module, targets in edges(package).items():
        room = room_of(module, rooms)
        for target in targets:
            other = room_of(target, rooms)
            if other != room and rooms[other] >= rooms[room]:
                wrong.append(f"{module} -> {target}")
    assert not sorted(wrong)


@pytest.mark.parametrize("package", ORDER)
def test_no_module_imports_itself_through_others(package: str) -> None:
    try:
        TopologicalSorter(edges(package)).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {error.args[1]}")


@pytest.mark.parametrize("package", ORDER)
def test_every_room_of_the_order_exists(package: str) -> None:
    rooms = levels(package)
    assert {room_of(module, rooms) for module in edges(package)} == set(rooms)


def test_a_public_class_has_a_name_of_its_own() -> None:
    """One name, one thing, across the three packages."""
    places: dict[str, list[str]] = {}
    for package in ORDER:
        for file in files(package):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(module_of(file))
    shared = {name: modules for name, modules in places.items() if len(modules) > 1}
    assert not shared


def test_rooms_stay_small() -> None:
    crowded = {
        folder: len(modules)
        for package in ORDER
        for folder in {file.parent for file in files(package)}
        if len(modules := [f for f in folder.glob("*.py") if f.name != "__init__.py"])
        > LARGEST_ROOM
    }
    assert not crowded


def test_analysis_takes_only_the_quiet_rooms_of_the_core() -> None:
    allowed = tuple(f"fairfm_core.{room}" for room in ANALYSIS_MAY_USE)
    wrong = {
        f"{file.name}: {name}"
        for file in files("analysis")
        for name in imported(file)
        if name.startswith("fairfm_core") and not name.startswith(allowed)
    }
    assert not wrong


@pytest.mark.parametrize("room", ["evaluation", "data", "config", "commands"])
def test_quiet_rooms_never_import_torch(room: str) -> None:
    wrong = {
        f"{file.name}: {name}"
        for file in files(f"fairfm_core/{room}")
        for name in imported(file)
        if name.split(".")[0] in {"torch", "timm", "torchvision"}
    }
    assert not wrong


@pytest.mark.parametrize("package", ["fairfm_core", "sweeps", "analysis"])
def test_package_files_import_nothing(package: str) -> None:
    assert not [f for f in files(package) if f.name == "__init__.py" and imported(f)]


def test_tests_are_laid_out_as_the_source() -> None:
    """Every folder of tests is a folder of the source; those of `desks` and `cluster` are not."""
    folders = {
        file.parent.relative_to(ROOT / "tests")
        for file in (ROOT / "tests").rglob("test_*.py")
        if not file.is_relative_to(ROOT / "tests/desks")
        and not file.is_relative_to(ROOT / "tests/cluster")
    }
    assert not sorted(str(folder) for folder in folders if not (ROOT / folder).is_dir())


@pytest.mark.parametrize(
    "command", ["--help", "data --help", "sweep --help", "pareto --help", "cluster --help"]
)
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
