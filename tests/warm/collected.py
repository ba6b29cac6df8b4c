"""A process that has imported the tests, and forks for each process that runs them.

Three processes that share the tests would each import all of them, after compiling them with
pytest's rewritten assertions. Forks find them imported.

    python client.py SOCKET collected.py SOCKET_OF_THE_FORKS PROCESS_OF_THE_TESTS PATH ...
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import leave, next_command, read_environment_again


class ImportedModule(pytest.Module):
    """A file of tests that is imported and offers none."""

    def collect(self) -> list[pytest.Item]:
        assert self.obj is not None
        return []


class Importing:
    """Plugin: imports the files of the tests."""

    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> pytest.Module:
        module: ImportedModule = ImportedModule.from_parent(parent, path=module_path)
        return module


def run() -> int:
    """Run what follows `-c`, as Python does; returns the exit code."""
    code = sys.argv[sys.argv.index("-c") + 1]
    sys.modules["__main__"] = main = ModuleType("__main__")
    try:
        exec(code, vars(main))
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    place, tests, *paths = sys.argv[1:]
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # no fork can use what has asked CUDA itself
    # What cannot be imported is reported by each process that then tries again.
    pytest.main(["--collect-only", "-p", "no:cacheprovider", *paths], plugins=[Importing()])
    gc.freeze()  # a collection would copy the memory that all forks share
    next_command(Path(place), int(tests))
    read_environment_again()
    leave(run())
