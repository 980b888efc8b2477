"""A 2D camera and a depth sensor as one camera: halves paired by trigger, points registered to the picture.

Each inner device has its own settings file, of any kind, and is opened, polled and closed in this device's thread.
A trigger of which only one half comes uses a number, and is no frame. If one device is gone, both are opened again.
"""

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import structlog

from cmfm_cameras.capture import NO_PICTURE, NO_POINTS, Capture
from cmfm_cameras.device import Device, DeviceInfo, adapter_of, section_of
from cmfm_cameras.device import open_device as open_inner
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError, SourceEndedError
from cmfm_cameras.geometry.calibration_file import read_calibration
from cmfm_cameras.geometry.registration import Registration
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.pairing.by_name import NamePairing
from cmfm_cameras.pairing.by_trigger import TriggerPairing
from cmfm_cameras.pairing.half import Cause, Half, Outcome, Pair, Side, Single
from cmfm_cameras.settings.load import DEPTH_FILE, PICTURE_FILE
from cmfm_cameras.settings.model import CameraSettings
from cmfm_cameras.settings.two_devices import TwoDevicesSection
from cmfm_protocol.clock import NS_PER_S
from cmfm_settings.section import Section

TURN_S: Final = 0.004
"""Wait for one device before the other is looked at."""

MOST_CONTRADICTIONS: Final = 8
"""Triggers in a row whose numbers and times disagree, after which both devices are opened again."""


def check(section: Section) -> None:
    """Raise InputError if a file is missing or wrong, or an inner device cannot run."""
    two = cast("TwoDevicesSection", section)
    read_calibration(_named(two, "calibration"))
    for side, settings in _inner(two).items():
        kind = settings.camera.kind
        try:
            adapter_of(kind).check(section_of(settings, kind))
        except InputError as error:
            raise InputError(f"two_devices.{side}: {error}") from error


def open_device(section: Section) -> "TwoDevices":
    """Open both devices. Raises DeviceError if one is not there, InputError for wrong settings."""
    return TwoDevices(cast("TwoDevicesSection", section))


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the pair that the section names, if both files are there."""
    two = cast("TwoDevicesSection", section)
    if two.picture is None or two.depth is None or not (two.picture.is_file() and two.depth.is_file()):
        return []
    return [DeviceInfo("two_devices", f"{two.picture} {two.depth}", f"two devices, paired by {two.pair_by}")]


class TwoDevices:
    """Two open devices. `counts`: pairs, halves whose other half is missing, and what else is no pair, by cause."""

    def __init__(self, section: TwoDevicesSection) -> None:
        self.frame_ids = FrameIds()
        calibration = read_calibration(_named(section, "calibration"))
        self._shape = calibration.picture.lens.shape
        self._registration = Registration(
            calibration.picture.lens, calibration.pose.pose, steepest_deg=section.steepest_deg
        )
        self._log = structlog.get_logger("two_devices")
        self._outcomes: deque[Outcome] = deque()
        self._failure: Exception | None = None
        self._contradictions = 0
        self._pair_by = section.pair_by
        self.counts: Counter[str] = Counter()
        self._devices: dict[Side, Device] = {}
        try:
            for side, settings in _inner(section).items():
                self._devices[side] = open_inner(settings)
        except BaseException:
            self.close()
            raise
        self.name = " + ".join(device.name for device in self._devices.values())
        self._pairing = _pairing(section, self._devices)

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the next pair, or None if none came in time.

        Raises RefusedCaptureError for a trigger without a pair, DeviceError, SourceEndedError.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            if self._outcomes:
                return self._finished(self._outcomes.popleft())
            if self._failure is not None:
                raise self._failure
            if time.monotonic() >= until_s:
                return None
            self._look()

    def close(self) -> None:
        """Close both devices."""
        for device in self._devices.values():
            device.close()

    def _look(self) -> None:
        """Take a frame of each device, and decide. A half is given up only once they have nothing more to give."""
        is_idle = True
        for side, device in self._devices.items():
            try:
                capture = device.capture(TURN_S)
            except RefusedCaptureError as error:
                is_idle = False
                self._refused_half(side, error)
                continue
            except (DeviceError, SourceEndedError) as error:
                self._failure = type(error)(f"{side}: {error}")
                self._outcomes.extend(self._pairing.flush())
                return
            if capture is not None:
                is_idle = False
                self._outcomes.extend(self._pairing.offer(Half(side, capture, time.monotonic_ns())))
        if is_idle:
            self._outcomes.extend(self._pairing.expire(time.monotonic_ns()))

    def _refused_half(self, side: Side, error: RefusedCaptureError) -> None:
        """Let a half that was refused stand for its trigger, if its time says which: so that one trigger is one number.

        By other rules its partner is given up after its wait.
        """
        self.counts[f"refused_{side}"] += 1
        self._log.warning("half_refused", device=str(side), reason=str(error.reason), detail=str(error))
        if self._pair_by == "timestamp" and error.trigger_ns is not None:
            empty = Capture(NO_PICTURE, NO_POINTS, error.frame_id, error.trigger_ns)
            self._outcomes.extend(self._pairing.offer(Half(side, empty, time.monotonic_ns())))

    def _finished(self, outcome: Outcome) -> Capture:
        if isinstance(outcome, Single):
            raise self._refused(outcome)
        self._contradictions = 0
        self.counts["pairs"] += 1
        return self._registered(outcome)

    def _refused(self, single: Single) -> RefusedCaptureError:
        missing = f"missing_{single.half.side.other}"
        self.counts[missing if single.cause is Cause.MISSING else str(single.cause)] += 1
        self._contradictions += single.cause is Cause.SHIFTED
        if self._contradictions >= MOST_CONTRADICTIONS:
            self._failure = DeviceError(f"numbers and times of {self._contradictions} triggers disagree")
        return RefusedCaptureError(
            Refusal.INCOMPLETE if single.cause is Cause.MISSING else Refusal.OTHER_TRIGGER,
            single.detail,
            trigger_ns=single.half.capture.trigger_ns,
            lost_before=single.lost_before,
        )

    def _registered(self, pair: Pair) -> Capture:
        picture, depth = pair.picture.capture, pair.depth.capture
        capture = Capture(
            rgb=picture.rgb,
            xyz=depth.xyz,
            frame_id=None,
            trigger_ns=picture.trigger_ns if picture.trigger_ns is not None else depth.trigger_ns,
            part_id=picture.part_id or depth.part_id,
            encoder=picture.encoder if picture.encoder is not None else depth.encoder,
            exposure_us=picture.exposure_us,
            gain=picture.gain,
            temperature_c=picture.temperature_c if picture.temperature_c is not None else depth.temperature_c,
            lost_before=pair.lost_before,
        )
        if not picture.rgb.size or not depth.xyz.size:
            side = "depth" if picture.rgb.size else "picture"
            raise capture.refused(Refusal.INCOMPLETE, f"the {side} was refused, or is empty")
        if picture.rgb.shape[:2] != self._shape:
            raise capture.refused(
                Refusal.NOT_REGISTERED,
                f"the picture has {picture.rgb.shape[:2]} rows and columns, the calibration {self._shape}: another "
                "region of interest or binning; calibrate again",
            )
        return replace(capture, xyz=self._registration.register(depth.xyz))


def _pairing(section: TwoDevicesSection, devices: dict[Side, Device]) -> NamePairing | TriggerPairing:
    wait_ns = round(section.wait_ms / 1000 * NS_PER_S)
    if section.pair_by == "name":
        return NamePairing(wait_ns=wait_ns)
    return TriggerPairing(
        section.pair_by,
        {side: device.frame_ids for side, device in devices.items()},
        window_ns=round(section.window_ms / 1000 * NS_PER_S),
        wait_ns=wait_ns,
        delay_ns=round(section.delay_ms / 1000 * NS_PER_S),
    )


def _named(section: TwoDevicesSection, key: str) -> Path:
    path: Path | None = getattr(section, key)
    if path is None:
        raise InputError(f'kind = "two_devices" needs {key} under [two_devices]')
    return path


def _inner(section: TwoDevicesSection) -> dict[Side, CameraSettings]:
    files = {Side.PICTURE: PICTURE_FILE, Side.DEPTH: DEPTH_FILE}
    settings = {side: file.load(_named(section, str(side))).settings for side, file in files.items()}
    for side, inner in settings.items():
        if inner.camera.kind == "two_devices":
            raise InputError(f"two_devices.{side}: {_named(section, str(side))} is itself two devices")
    return settings
