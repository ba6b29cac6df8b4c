"""Where commands read and write: paths on this machine, or URIs where these can be used too."""

from __future__ import annotations

import os
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
