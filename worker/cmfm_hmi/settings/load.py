"""Reads `hmi.toml` and the `CMFM_HMI_…` variables (`cmfm_settings.load` says how)."""

from pathlib import Path
from typing import Final

from cmfm_hmi.settings.model import HmiSettings
from cmfm_settings.load import HMI_PREFIX, LoadedSettings, SettingsFile

HMI_FILE: Final = SettingsFile(
    HmiSettings,
    prefix=HMI_PREFIX,
    example="deploy/hmi.toml (`cmfm-hmi example` prints it)",
    list_example="CMFM_HMI_PAGE__NAMES='[\"line1.factory\"]'",
)

EXAMPLE_HEADING: Final = """The operator's page: `cmfm-hmi --config hmi.toml`. `cmfm-hmi example` prints this file.
`cmfm-hmi check --config hmi.toml` explains every key with its value and its source, and runs nothing.
Every key may be left out: the values here are the defaults.
Relative paths start from the folder of this file. CMFM_HMI_<SECTION>__<KEY> in the environment overrides a key,
for example CMFM_HMI_PAGE__PORT=8443. A list or table is written as JSON there."""


def load_with_sources(path: Path) -> LoadedSettings[HmiSettings]:
    """Read and validate `path` with the environment over it. Raises InputError naming file or variable and key."""
    return HMI_FILE.load(path)
