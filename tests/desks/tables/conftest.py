"""The desk that the tests of this folder share."""

from ..preparing import desk, fairfm_command

__all__ = ["desk", "fairfm_command"]
