"""A device behind a GenTL producer, by harvesters: opened, configured, its buffers as bytes and parts.

Three traps of harvesters 1.4.3 and its binding genicam 1.6 shape this file:

- While it waits for a buffer, the binding holds Python's global lock. So it is asked for at most a millisecond at a
  time, or heartbeats would wait for the camera.
- With GenDC streaming on, one component with meaningless numbers is handed over. It is switched off, and refused.
- Reading a part's `data_type` leaks memory, and components of unknown formats are None. Parts are read from the buffer.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

import cv2
import structlog
from genicam import genapi, gentl
from harvesters.core import Harvester, ImageAcquirer, ParameterKey, ParameterSet

from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import DeviceError, InputError
from cmfm_cameras.gentl.configure import configure
from cmfm_cameras.gentl.harvester import loaded
from cmfm_cameras.gentl.nodes import Nodes
from cmfm_cameras.gentl.producers import producers
from cmfm_cameras.gentl.raw_frame import RawFrame, raw_frame
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.settings.genicam import GenicamSection

LOCKED_WAIT_MS: Final = 1
"""Longest wait inside the binding, which holds the global lock meanwhile."""

FREE_WAIT_S: Final = 0.001
"""Pause between two such waits, in which other threads run."""

STATE_PERIOD_S: Final = 1.0
"""How often PTP state and temperature are read from the device."""

SYNCHRONISED: Final = "Slave"


class Session:
    """An open device that acquires. Raises DeviceError if it is not there or goes away, InputError for settings."""

    def __init__(self, section: GenicamSection) -> None:
        self._section = section
        self._log = structlog.get_logger("genicam")
        self.incomplete = 0
        self._state_s = -STATE_PERIOD_S
        self._is_synchronised = False
        self._temperature_c: float | None = None
        self._heard_s = time.monotonic()
        self._stack = contextlib.ExitStack()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        cv2.setNumThreads(1)  # a camera takes one core of the line's host, not all for a millisecond
        harvester = self._stack.enter_context(loaded(producers(self._section)))
        index, info = _chosen(harvester, self._section)
        self.name = _name(info)
        with _device_errors(f"{self.name} cannot be opened"):
            self._acquirer = self._stack.enter_context(_created(harvester, index, self._section.buffers))
            _require_one_stream(self._acquirer)
            self.nodes = Nodes(self._acquirer.remote_device.node_map)
            self.frame_ids = self._frame_ids(info)
            configure(self.nodes, self._section)
            self._acquirer.add_callback(ImageAcquirer.Events.INCOMPLETE_BUFFER, _Incomplete(self))
            self._acquirer.start()

    def close(self) -> None:
        """Stop and release the device and its producer."""
        with contextlib.suppress(gentl.GenericException, genapi.GenericException):
            self._stack.close()

    @contextlib.contextmanager
    def frame(self, timeout_s: float) -> Iterator[RawFrame | None]:
        """The next frame, or None if none came in time. Its buffer is given back at the end of the context."""
        buffer = self._fetch(timeout_s)
        if buffer is None:
            yield None
            return
        self._heard_s = time.monotonic()
        try:
            yield raw_frame(buffer)
        finally:
            with _device_errors(f"{self.name} takes no buffer back"):
                buffer.parent.queue_buffer(buffer)

    @contextlib.contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Raise DeviceError for an error of the driver within the context; `what` the device does, for the message."""
        with _device_errors(f"{self.name} {what}"):
            yield

    def lost(self) -> int:
        """Return how many frames the producer had no buffer for, or got incomplete, since the device was opened."""
        try:
            return int(self._acquirer.data_streams[0].num_underrun) + self.incomplete
        except gentl.GenericException:
            return self.incomplete

    def is_synchronised(self) -> bool:
        """Tell whether the device's clock follows a PTP master; asked once a second."""
        self._read_state()
        return self._is_synchronised

    def temperature_c(self) -> float | None:
        """Return the device's temperature in °C, None if it does not say; asked once a second."""
        self._read_state()
        return self._temperature_c

    def _fetch(self, timeout_s: float) -> Any:
        until_s = time.monotonic() + timeout_s
        with _device_errors(f"{self.name} is gone"):
            while True:
                buffer = self._acquirer.try_fetch(timeout=LOCKED_WAIT_MS / 2000, is_raw=True)
                if buffer is not None:
                    return buffer
                if time.monotonic() >= until_s:
                    self._require_alive()
                    return None
                time.sleep(FREE_WAIT_S)

    def _require_alive(self) -> None:
        """Ask a device that has been silent for a register; whatever it replies, it is there."""
        if time.monotonic() - self._heard_s < self._section.silent_s:
            return
        with contextlib.suppress(gentl.InvalidAddressException, gentl.AccessDeniedException):
            self._acquirer.remote_device.port.read(0, 4)
        self._heard_s = time.monotonic()

    def _read_state(self) -> None:
        now_s = time.monotonic()
        if now_s - self._state_s < STATE_PERIOD_S:
            return
        self._state_s = now_s
        state = self.nodes.get("PtpStatus") or self.nodes.get("GevIEEE1588Status")
        self._is_synchronised = state == SYNCHRONISED
        self._temperature_c = self.nodes.number("DeviceTemperature")

    def _frame_ids(self, info: Any) -> FrameIds:
        is_gev = _said(info, "tl_type") == "GEV"
        extended = self.nodes.get("GevGVSPExtendedIDMode") == "On"
        bits = self._section.frame_id_bits or (16 if is_gev and not extended else 64)
        return FrameIds(bits, 1 if is_gev else 0)


def list_genicam(section: GenicamSection) -> list[DeviceInfo]:
    """Return the devices that the producers find now. Raises InputError."""
    with loaded(producers(section)) as harvester:
        return [DeviceInfo("genicam", _said(info, "id_"), _name(info)) for info in harvester.device_info_list]


class _Incomplete:
    """Counts buffers that the producer filled in part; harvesters calls it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def emit(self, context: object = None) -> None:  # noqa: ARG002 (harvesters' interface)
        self._session.incomplete += 1


@contextlib.contextmanager
def _created(harvester: Harvester, index: int, buffers: int) -> Iterator[ImageAcquirer]:
    options = ParameterSet(
        {
            ParameterKey.NUM_BUFFERS_FOR_FETCH_CALL: buffers,
            ParameterKey.TIMEOUT_PERIOD_ON_UPDATE_EVENT_DATA_CALL: LOCKED_WAIT_MS,
        }
    )
    acquirer = harvester.create(index, config=options)
    try:
        yield acquirer
    finally:
        acquirer.destroy()


def _chosen(harvester: Harvester, section: GenicamSection) -> tuple[int, Any]:
    infos = list(harvester.device_info_list)
    keys = ("id_", "serial_number", "user_defined_name")
    fitting = [
        (index, info)
        for index, info in enumerate(infos)
        if not section.device or section.device in [_said(info, key) for key in keys]
    ]
    known = ", ".join(_said(info, "id_") for info in infos) or "none"
    if not fitting:
        wanted = f"no device {section.device!r}" if section.device else "no device"
        raise DeviceError(f"{wanted} at the producers; they find: {known}")
    if len(fitting) > 1:
        raise InputError(f"genicam.device fits {len(fitting)} devices; name one of: {known}")
    return fitting[0]


def _require_one_stream(acquirer: ImageAcquirer) -> None:
    """Frames of several streams are of no common buffer, so nothing says that they are of one trigger."""
    streams = len(acquirer.data_streams)
    if streams != 1:
        raise InputError(
            f"the device has {streams} data streams; picture and points must come in one buffer of one stream: set it "
            "to multi-part, or open it as two devices"
        )


def _said(info: Any, key: str) -> str:
    try:
        return str(getattr(info, key))
    except (gentl.GenericException, AttributeError):
        return ""


def _name(info: Any) -> str:
    words = [_said(info, key) for key in ("vendor", "model", "serial_number")]
    return " ".join(word for word in words if word) or _said(info, "id_")


@contextlib.contextmanager
def _device_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (gentl.GenericException, genapi.GenericException) as error:
        raise DeviceError(f"{what}: {' '.join(str(error).split())[:300]}") from error
