"""Imports vendors' packages late, and turns their errors into ours."""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any, Final

from cmfm_cameras.errors import DeviceError, InputError

LONGEST_DETAIL: Final = 300
"""Characters of a vendor's message that are shown."""


def vendor_package(module: str, advice: str) -> Any:
    """Import a vendor's module. Raises InputError with `advice`, on what to install and from where, if it cannot be."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise InputError(f"{module} cannot be imported ({error}). {advice}") from error


@contextlib.contextmanager
def vendor_errors(what: str, *kinds: type[BaseException]) -> Iterator[None]:
    """Turn errors of these kinds, by default RuntimeError, into DeviceError."""
    turned = kinds or (RuntimeError,)
    try:
        yield
    except turned as error:
        raise DeviceError(f"{what}: {said(error)}") from error


def said(error: BaseException) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split())[:LONGEST_DETAIL]
