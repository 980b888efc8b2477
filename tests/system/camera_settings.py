"""Settings of `cmfm-camera` for system tests."""

from collections.abc import Mapping
from pathlib import Path

import tomli_w

VIKY: dict[str, object] = {"producers": ["viky"], "device": "VikyTL_DEV_red"}
"""MVTec's simulated producer."""

ON_A_TRAY = {**VIKY, "zero_is_missing": False, "features": ["BouncingBallSize=40", "AcquisitionFrameRate=4"]}
"""The same with its plane as a tray, and its largest square as a part."""


def write_camera(
    path: Path, kind: str, section: Mapping[str, object], endpoint: str, **camera: object
) -> Path:
    """Write settings of one camera, with a long deadline: test machines are slow."""
    table = {"kind": kind, "endpoint": endpoint, "deadline_ms": 30_000.0, **camera}
    path.write_text(tomli_w.dumps({"camera": table, kind: section, "log": {"format": "json"}}))
    return path
