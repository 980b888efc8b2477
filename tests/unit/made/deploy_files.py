"""Files of deploy/ that every program has: the example of its settings, and its systemd unit."""

import configparser
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from cmfm_settings.load import LoadedSettings

DEPLOY = Path(__file__).parents[3] / "deploy"


def loads_as_the_defaults(text: str, load: Callable[[Path], LoadedSettings[Any]], folder: Path) -> bool:
    """Tell whether a settings file means the same as an empty one."""
    for name, content in (("example.toml", text), ("empty.toml", "")):
        (folder / name).write_text(content)
    example, empty = (load(folder / name).settings for name in ("example.toml", "empty.toml"))
    return bool(example == empty)


def undescribed(settings: BaseModel) -> list[str]:
    """Return the keys whose description is missing, or does not end with a full stop."""
    return [
        f"{section}.{key}"
        for section in type(settings).model_fields
        for key, field in type(getattr(settings, section)).model_fields.items()
        if not (field.description or "").rstrip().endswith(".")
    ]


def unit(name: str) -> configparser.ConfigParser:
    """Read a systemd unit of deploy/."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / name)
    return parser


def objections(name: str, program: str, path: Path) -> str:
    """Return what `systemd-analyze verify` says against a unit as `path`, run by root; skips without systemd."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    text = (DEPLOY / name).read_text().replace(f"/opt/cmfm/venv/bin/{program}", "/bin/true")
    path.write_text(text.replace("User=cmfm", "User=root").replace("Group=cmfm", "Group=root"))
    checked = subprocess.run([analyze, "verify", path], capture_output=True, text=True, check=False)
    return checked.stderr if f"{path.name}:" in checked.stderr else ""
