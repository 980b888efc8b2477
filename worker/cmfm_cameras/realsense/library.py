"""Imports pyrealsense2, with errors that say what to install."""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from cmfm_cameras.errors import DeviceError, InputError


def library() -> Any:
    """Return the module pyrealsense2. Raises InputError if it, or a library of the system that it needs, is missing."""
    try:
        return importlib.import_module("pyrealsense2")
    except ImportError as error:
        if error.name == "pyrealsense2":
            raise InputError("pyrealsense2 is not installed: pip install 'cmfm[realsense]'") from error
        raise InputError(
            f"pyrealsense2 cannot be loaded ({error}); on Debian and Ubuntu: apt-get install libusb-1.0-0 libudev1"
        ) from error


@contextlib.contextmanager
def device_errors(what: str) -> Iterator[None]:
    """Turn errors of librealsense into DeviceError."""
    try:
        yield
    except RuntimeError as error:
        raise DeviceError(f"{what}: {' '.join(str(error).split())[:300]}") from error
