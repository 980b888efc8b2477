"""Problems that keep a photo-eye from running, and its keys."""

import importlib.util
from pathlib import Path

from cmfm_cameras.errors import InputError
from cmfm_cameras.photo_eye.part_state import read_state
from cmfm_cameras.settings.trigger import AnnounceSection, TriggerSettings
from cmfm_client import CameraKeys, ClientKeys
from cmfm_protocol.files.key_files import KeyFileError

PACKAGES = {"modbus": ("pymodbus", "plc"), "gpio": ("gpiod", "gpio")}


def problems_of(settings: TriggerSettings) -> list[str]:
    """Return one sentence for each problem."""
    section = settings.announce
    package, extra = PACKAGES[settings.input.kind]
    problems = []
    if importlib.util.find_spec(package) is None:
        problems.append(
            f"input.kind = {settings.input.kind} needs the package {package}: pip install 'cmfm[{extra}]'"
        )
    for attempt in (
        lambda: read_state(section.state),
        lambda: client_keys(section, section.camera_key),
        lambda: client_keys(section, section.worker_key),
        lambda: socket_keys(section),
    ):
        try:
            attempt()
        except (InputError, KeyFileError) as error:
            problems.append(str(error))
    return problems


def client_keys(section: AnnounceSection, server: Path | None) -> ClientKeys | None:
    """Return the keys of a connection to a peer with this public key; None without. Raises KeyFileError."""
    return ClientKeys.read_if_given(section.key, server)


def socket_keys(section: AnnounceSection) -> CameraKeys | None:
    """Return the keys of the bound socket; None without. Raises KeyFileError."""
    return CameraKeys.read(section.key, section.workers) if section.key else None
