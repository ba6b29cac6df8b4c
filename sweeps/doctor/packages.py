"""Whether what is installed is what fairfm needs, and what was tested together."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from fairfm_core.errors import first_ten
from sweeps.doctor.diagnosis import Diagnosis, ok, problem, warning

NAME = "fairfm"
TESTED_PYTHON = (3, 11)
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
"""The exact versions; only beside a checkout."""
PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;#]+)")


def python_version() -> Diagnosis:
    """The interpreter; older ones cannot even import the program."""
    found = sys.version.split()[0]
    if sys.version_info < TESTED_PYTHON:
        return problem(f"Python {found}", "install Python 3.11 or newer")
    if sys.version_info[:2] != TESTED_PYTHON:
        return warning(f"Python {found}", "versions were tested together on Python 3.11")
    return ok(found)


def required_packages() -> Diagnosis:
    """Every required package, in a version that the code can use."""
    asked = [Requirement(line) for line in metadata.requires(NAME) or ()]
    needed = [each for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})]
    found = {each.name: installed_version(each.name) for each in needed}
    wrong = [
        f"{each} (found {found[each.name] or 'nothing'})"
        for each in needed
        if not _fits(each, found[each.name])
    ]
    if wrong:
        return problem(f"missing or unusable: {first_ten(wrong)}", _install())
    return ok(f"{len(needed)} required packages")


def pinned_versions() -> Diagnosis:
    """Whether the versions are those that were tested together."""
    if not CONSTRAINTS.is_file():
        return ok("no constraints.txt beside the program: exact versions are not compared")
    pins = dict(PIN.findall(CONSTRAINTS.read_text()))
    found = {name: installed_version(name) for name in pins}
    other = [
        f"{name} {found[name]} (tested: {pin})"
        for name, pin in pins.items()
        if found[name] not in (None, pin) and str(found[name]).partition("+")[0] != pin
    ]
    if other:
        return warning(f"other versions than tested: {first_ten(other)}", _install())
    return ok(f"{len(pins)} versions as tested together")


def installed_version(name: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(requirement: Requirement, version: str | None) -> bool:
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _install() -> str:
    if CONSTRAINTS.is_file():
        return f"pip install -c {CONSTRAINTS} -e {CONSTRAINTS.parent}"
    return f"pip install --upgrade {NAME}"
