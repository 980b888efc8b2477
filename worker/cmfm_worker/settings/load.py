"""Reads `line.toml` and the `CMFM_…` variables (`cmfm_settings.load` says how)."""

from pathlib import Path
from typing import Final

from cmfm_settings.load import WORKER_PREFIX, LoadedSettings, SettingsFile
from cmfm_worker.settings.model import Settings

LINE_FILE: Final = SettingsFile(
    Settings,
    prefix=WORKER_PREFIX,
    example="deploy/line.toml",
    list_example="CMFM_SOCKETS__FRAMES='[\"tcp://127.0.0.1:5555\"]'",
)


def load_settings(path: Path) -> Settings:
    """Read and validate `path` with the environment over it. Raises InputError as `load_with_sources`."""
    return load_with_sources(path).settings


def load_with_sources(path: Path) -> LoadedSettings[Settings]:
    """Read and validate `path` (TOML) with the environment over it.

    Raises InputError naming the file or the variable, and every wrong key at once.
    """
    return LINE_FILE.load(path)
