"""The interface of every adapter, and where the adapter of a kind is found."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from cmfm_cameras.capture import Capture
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.settings.camera import CameraSection
from cmfm_cameras.settings.model import CameraSettings
from cmfm_settings.section import Section


class Device(Protocol):
    """An open device. All calls come from one thread.

    `name` is vendor, model and serial number as a person reads them. `frame_ids` is the range of its frame ids. A
    device may have `counts`, names to what it counts by itself: `cmfm_camera_device_events` shows them.
    """

    name: str
    frame_ids: FrameIds

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the next frame, or None if none came within `timeout_s`.

        Everything in it is copied out of the device's buffer before the buffer is given back. Raises DeviceError if
        the device must be opened again, RefusedCaptureError for a frame that is not registered, not in metres or not of
        one trigger, SourceEndedError at the end of a recording.
        """
        ...

    def close(self) -> None:
        """Stop the device and release it. Never raises for a device that is gone."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One device that can be opened. `identifier` is what `camera.toml` names it by."""

    kind: str
    identifier: str
    description: str


class Adapter(Protocol):
    """A module of `cmfm_cameras.adapters`, with the kind's section of `camera.toml`."""

    def check(self, section: Section) -> None:
        """Raise InputError if the section lacks a key, names a file that is not there, or a package is missing.

        Opens no device.
        """
        ...

    def open_device(self, section: Section) -> Device:
        """Open the device of the section. Raises DeviceError if it is not there, InputError for wrong settings."""
        ...

    def list_devices(self, section: Section) -> Sequence[DeviceInfo]:
        """Return the devices that can be opened now. Raises InputError if the vendor's package is missing."""
        ...


def adapter_of(kind: str) -> Adapter:
    """Import the adapter of a kind."""
    return cast("Adapter", importlib.import_module(f"cmfm_cameras.adapters.{kind}"))


def section_of(settings: CameraSettings, kind: str = "") -> Section:
    """Return the section of the kind, by default of the kind that runs."""
    return cast("Section", getattr(settings, kind or settings.camera.kind))


def open_device(settings: CameraSettings) -> Device:
    """Open the device that the settings name. Raises DeviceError, InputError."""
    kind = settings.camera.kind
    return adapter_of(kind).open_device(section_of(settings, kind))


def kinds() -> tuple[str, ...]:
    """Return the kinds of devices, in the order of the settings."""
    return cast("tuple[str, ...]", CameraSection.model_fields["kind"].annotation.__args__)  # type: ignore[union-attr]
