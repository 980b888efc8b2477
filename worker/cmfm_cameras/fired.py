"""Devices that a photo-eye fires: opened with the trigger messages that name this camera's stream."""

import contextlib
from collections.abc import Callable
from typing import cast

import zmq

from cmfm_cameras.device import Device, section_of
from cmfm_cameras.errors import InputError
from cmfm_cameras.settings.model import CameraSettings
from cmfm_cameras.settings.requested import RequestedSection
from cmfm_cameras.subscriber import WatchedSubscriber
from cmfm_cameras.vendor.requested import RequestedDevice
from cmfm_cameras.vendor.shots import Shots
from cmfm_client import Camera, ClientKeys
from cmfm_client.sockets import ZmqContext
from cmfm_protocol.wire.limits import MAX_TRIGGER_BYTES
from cmfm_protocol.wire.topics import topic


def fired(
    settings: CameraSettings, camera: Camera, opened: Callable[[], Device], stack: contextlib.ExitStack
) -> Callable[[], Device]:
    """Return what opens the device of the settings, fired by the photo-eye if they name one.

    The subscription lasts as long as `stack`, over all openings. Raises EndpointError, KeyFileError, InputError.
    """
    section = section_of(settings)
    if not isinstance(section, RequestedSection) or not section.fired_by:
        return opened
    context: ZmqContext = stack.enter_context(zmq.Context())
    subscriber = WatchedSubscriber(
        context,
        section.fired_by,
        topic(settings.camera.line, settings.camera.station, "trigger"),
        most_bytes=MAX_TRIGGER_BYTES,
        keys=photo_eye_keys(settings),
        name="fired_by",
    )
    stack.callback(subscriber.close)
    shots = Shots(subscriber, camera.stream_uuid)

    def open_fired() -> Device:
        device = cast("RequestedDevice", opened())
        device.fire_by(shots, section.late_s)
        return device

    return open_fired


def require_the_eye_s_ids(settings: CameraSettings) -> None:
    """Raise InputError if the camera would give parts other ids than the photo-eye that fires it."""
    section = section_of(settings)
    if isinstance(section, RequestedSection) and section.fired_by and settings.camera.part_ids == "numbered":
        raise InputError(
            f"camera.part_ids = numbered contradicts the ids of the photo-eye at {settings.camera.kind}.fired_by: use "
            "source or empty"
        )


def photo_eye_keys(settings: CameraSettings) -> ClientKeys | None:
    """Return the keys of the connection to the photo-eye; None without. Raises KeyFileError, InputError."""
    section = section_of(settings)
    server = section.fired_by_key if isinstance(section, RequestedSection) else None
    if server is not None and settings.camera.key is None:
        raise InputError(f"{settings.camera.kind}.fired_by_key needs [camera] key, this camera's own")
    return ClientKeys.read_if_given(settings.camera.key, server)
