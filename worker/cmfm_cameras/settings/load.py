"""Reads `camera.toml` and the `CMFM_CAMERA_…` variables (`cmfm_settings.load` says how)."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from cmfm_cameras.settings.model import CameraSettings
from cmfm_settings.load import CAMERA_PREFIX, DEPTH_PREFIX, PICTURE_PREFIX, LoadedSettings, SettingsFile

CAMERA_FILE: Final = SettingsFile(
    CameraSettings,
    prefix=CAMERA_PREFIX,
    example="deploy/camera.toml (`cmfm-camera example` prints it)",
    list_example="CMFM_CAMERA_GENICAM__PRODUCERS='[\"/opt/vendor/lib/producer.cti\"]'",
)

PICTURE_FILE: Final = replace(CAMERA_FILE, prefix=PICTURE_PREFIX)
DEPTH_FILE: Final = replace(CAMERA_FILE, prefix=DEPTH_PREFIX)
"""Files of the same form that [two_devices] names."""

EXAMPLE_HEADING: Final = """One camera: `cmfm-camera --config camera.toml`. `cmfm-camera example` prints this file.
`cmfm-camera check --config camera.toml` explains every key with its value and its source, and opens no device.
Every key may be left out: the values here are the defaults. [camera] kind says which of the other sections counts.
Relative paths start from the folder of this file. CMFM_CAMERA_<SECTION>__<KEY> in the environment overrides a key,
for example CMFM_CAMERA_CAMERA__ENDPOINT=ipc:///run/cmfm/camera1. A list or table is written as JSON there."""


def load_with_sources(path: Path) -> LoadedSettings[CameraSettings]:
    """Read and validate `path` with the environment over it. Raises InputError naming file or variable and key."""
    return CAMERA_FILE.load(path)
