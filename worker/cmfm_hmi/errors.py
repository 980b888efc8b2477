"""Errors of the page. `app.main` turns those that end the process into its exit code and one line on stderr."""

from enum import IntEnum

from cmfm_service.errors import StartupError
from cmfm_settings.errors import InputError

__all__ = ["ExitCode", "InputError", "MissingError", "PageError", "StartupError"]


class ExitCode(IntEnum):
    """The exit codes of `cmfm-hmi`, documented in its `--help`."""

    OK = 0
    BUG = 1
    BAD_INPUT = 2
    STARTUP = 3


class PageError(Exception):
    """A request cannot be done; the person sees a page or message that says why.

    `key` names the sentence in the texts (`errors.<key>`), `values` fill it in, `status` is the HTTP status.
    """

    def __init__(self, key: str, status: int = 503, **values: object) -> None:
        super().__init__(f"{key} {values}" if values else key)
        self.key = key
        self.status = status
        self.values = values


class MissingError(InputError):
    """A request names a recipe or a version that does not exist: the person sees HTTP status 404 with this sentence."""
