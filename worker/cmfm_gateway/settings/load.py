"""Reads `gateway.toml` and the `CMFM_GATEWAY_…` variables (`cmfm_settings.load` says how)."""

from pathlib import Path
from typing import Final

from cmfm_gateway.settings.model import GatewaySettings
from cmfm_settings.load import GATEWAY_PREFIX, LoadedSettings, SettingsFile

GATEWAY_FILE: Final = SettingsFile(
    GatewaySettings,
    prefix=GATEWAY_PREFIX,
    example="deploy/gateway.toml (`cmfm-gateway example` prints it)",
    list_example="CMFM_GATEWAY_MODBUS__RECIPES='{\"praline\": 1}'",
)

EXAMPLE_HEADING: Final = """One gateway: `cmfm-gateway --config gateway.toml`. `cmfm-gateway example` prints this file.
`cmfm-gateway check --config gateway.toml` explains every key with its value and its source, and runs nothing.
Every key may be left out: the values here are the defaults. Enable at least one of [modbus], [opcua] and [mqtt].
Relative paths start from the folder of this file. CMFM_GATEWAY_<SECTION>__<KEY> in the environment overrides a key,
for example CMFM_GATEWAY_MODBUS__PORT=1502. A list or table is written as JSON there."""


def load_with_sources(path: Path) -> LoadedSettings[GatewaySettings]:
    """Read and validate `path` with the environment over it. Raises InputError naming file or variable and key."""
    return GATEWAY_FILE.load(path)
