"""Reads `gateway.toml` and the `CMFM_GATEWAY_…` variables (`cmfm_settings.load` says how)."""

from pathlib import Path
from typing import Final

from cmfm_gateway.settings.model import GatewaySettings
from cmfm_settings.load import GATEWAY_PREFIX, LoadedSettings, SettingsFile

GATEWAY_FILE: Final = SettingsFile(
    GatewaySettings,
    prefix=GATEWAY_PREFIX,
    example="deploy/gateway.toml",
    list_example="CMFM_GATEWAY_MODBUS__RECIPES='{\"praline\": 1}'",
)


def load_with_sources(path: Path) -> LoadedSettings[GatewaySettings]:
    """Read and validate `path` with the environment over it. Raises InputError naming file or variable and key."""
    return GATEWAY_FILE.load(path)
