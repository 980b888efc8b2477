"""Where GenTL producers (.cti files) are found: the settings, GENICAM_GENTL64_PATH, or the simulated one."""

import importlib.util
import os
from pathlib import Path
from typing import Final

from cmfm_cameras.errors import InputError
from cmfm_cameras.settings.genicam import VIKY, GenicamSection

SEARCH_PATH: Final = "GENICAM_GENTL64_PATH"
"""GenTL 1.5, section 3.2: folders of producers, separated like those of PATH."""


def producers(section: GenicamSection) -> list[Path]:
    """Return the producers to load. Raises InputError without any, and for a missing one."""
    found = [_simulated() if name == VIKY else Path(name) for name in section.producers] or _on_search_path()
    if not found:
        raise InputError(
            f"no GenTL producer: name .cti files in producers under [genicam], or set {SEARCH_PATH} (the vendor's "
            "software does)"
        )
    for path in found:
        if not path.is_file():
            raise InputError(f"genicam.producers: {path} is missing")
    return found


def require_packages() -> None:
    """Raise InputError if harvesters, genicam or OpenCV is missing."""
    missing = [name for name in ("harvesters", "genicam", "cv2") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{', '.join(missing)} is not installed: pip install 'cmfm[genicam]'")


def _simulated() -> Path:
    found = importlib.util.find_spec("genicam")
    if found is None or found.origin is None:
        raise InputError("genicam is not installed: pip install 'cmfm[genicam]'")
    return Path(found.origin).with_name("viky.cti")


def _on_search_path() -> list[Path]:
    folders = [Path(folder) for folder in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if folder]
    return [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.cti"))]
