"""Where commands read and write: paths on this machine, or URIs where these can be used too."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import click


class LocalPath(click.Path):
    """A path on this machine. A URI, which would become a folder called `s3:`, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, as click's own type makes it; raises BadInput for a URI."""
        given = os.fspath(value)
        if isinstance(given, str) and "://" in given:
            from fairfm_core.errors import BadInput

            name = param.opts[0] if isinstance(param, click.Option) else "the argument"
            raise BadInput(
                f"{name} {given}: must be a path on this machine; copy from and to a storage "
                "service with its own program, such as aws s3 cp"
            )
        return super().convert(value, param, ctx)


class Place(LocalPath):
    """A folder on this machine, or a URI, as text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The place; what is on this machine is checked as click's own type does."""
        given = os.fspath(value)
        return given if "://" in str(given) else super().convert(value, param, ctx)


class OutPath(LocalPath):
    """A path to write to on this machine, refused before any work where nothing can be written."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; raises BadInput as LocalPath, and where it cannot be written."""
        path = super().convert(value, param, ctx)
        check_writable(param, path)
        return path


class OutPlace(Place):
    """A folder to write to on this machine, or a URI, as text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The place; what is on this machine is refused where it cannot be written."""
        place = super().convert(value, param, ctx)
        if "://" not in str(place):
            check_writable(param, place)
        return place


def check_writable(param: click.Parameter | None, path: str | Path) -> None:
    """Raises BadInput where neither the path nor what it is in could be written; leaves nothing."""
    whole = Path(path).absolute()
    nearest = next(each for each in (whole, *whole.parents) if os.path.lexists(each))
    folder = whole.parent if nearest == whole and not whole.is_dir() else nearest
    try:
        with tempfile.TemporaryFile(dir=folder):  # on most systems it never has a name
            return
    except NotADirectoryError:
        reason = f"{folder} is not a folder"
    except OSError as error:
        reason = f"{folder}: {error.strerror or error}"
    from fairfm_core.errors import BadInput

    name = param.opts[0] if isinstance(param, click.Option) else "the argument"
    raise BadInput(f"{name} {path}: cannot be written ({reason}); name another place")
