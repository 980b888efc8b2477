"""Imports pyrealsense2 late."""

from typing import Any

from cmfm_cameras.vendor.package import vendor_package


def library() -> Any:
    """Return the module pyrealsense2. Raises InputError if it, or a library of the system that it needs, is missing."""
    return vendor_package(
        "pyrealsense2",
        "pip install 'cmfm[realsense]'; on Debian and Ubuntu also: apt-get install libusb-1.0-0",
    )
