"""`cmfm-camera list`: the devices that can be opened now, of every kind or of one."""

import json as json_format
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cmfm_cameras.device import DeviceInfo, adapter_of, kinds, section_of
from cmfm_cameras.errors import DeviceError, ExitCode, InputError
from cmfm_cameras.settings.load import load_with_sources
from cmfm_cameras.settings.model import CameraSettings


def list_devices(config: Path | None, kind: str, json: bool) -> int:
    """Print the devices; a kind that cannot be asked is a line on stderr. Returns the exit code."""
    settings = load_with_sources(config).settings if config else CameraSettings()
    if kind and kind not in kinds():
        raise InputError(f"--kind {kind}: known are {', '.join(kinds())}")
    found, why_not = devices_of(settings, (kind,) if kind else kinds())
    if json:
        sys.stdout.write(
            json_format.dumps({"devices": [asdict(info) for info in found], "not_asked": why_not}) + "\n"
        )
        return int(ExitCode.OK)
    for name, why in why_not.items():
        sys.stderr.write(f"{name}: {why}\n")
    if found:
        _print(found)
    else:
        sys.stderr.write("no device found\n")
    return int(ExitCode.OK)


def devices_of(settings: CameraSettings, wanted: tuple[str, ...]) -> tuple[list[DeviceInfo], dict[str, str]]:
    """Return the devices of these kinds, and why a kind could not be asked."""
    found: list[DeviceInfo] = []
    why_not = {}
    for kind in wanted:
        try:
            found += adapter_of(kind).list_devices(section_of(settings, kind))
        except (InputError, DeviceError) as error:
            why_not[kind] = str(error)
    return found, why_not


def _print(found: list[DeviceInfo]) -> None:
    table = Table("kind", "device", "description", box=None, pad_edge=False)
    for info in found:
        table.add_row(info.kind, info.identifier, info.description)
    Console().print(table)
