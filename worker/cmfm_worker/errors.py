"""Errors that end a command: wrong input, a failed start, a failed device. Any other error is our bug.

`app.main` turns each into its exit code and one line on stderr; only our bugs show a traceback.
"""

from enum import IntEnum

from cmfm_service.errors import StartupError
from cmfm_settings.errors import InputError

__all__ = ["ExitCode", "HungDeviceError", "InputError", "LostDeviceError", "StartupError"]


class ExitCode(IntEnum):
    """The exit codes of `cmfm-worker`, documented in its `--help`."""

    OK = 0
    BUG = 1
    BAD_INPUT = 2
    STARTUP = 3
    LOST_DEVICE = 4
    HUNG_DEVICE = 5


class LostDeviceError(Exception):
    """The accelerator was lost; the supervisor must start the process again."""


class HungDeviceError(Exception):
    """A computation did not come back; the process must be started again, without waiting for it."""
