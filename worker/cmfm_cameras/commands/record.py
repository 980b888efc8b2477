"""`cmfm-camera record DIR`: a device's frames as they come, with their times, to files."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import structlog

from cmfm_cameras.device import open_device
from cmfm_cameras.device_thread import Arrived, DeviceEvent, DeviceLost, DeviceThread, Ended, Opened, Refused
from cmfm_cameras.errors import DeviceError, ExitCode, InputError
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.recordings.frame_files import Recorded, write_capture, write_json
from cmfm_cameras.run import stop_signals
from cmfm_cameras.settings.load import load_with_sources
from cmfm_protocol.files.outputs import OutputError, require_writable_folder
from cmfm_service.log import logging_to_stderr

WAIT_S = 0.25


def record(config: Path, folder: Path, frames: int | None, seconds: float | None) -> int:
    """Record until `frames` or `seconds` are over or a signal comes. Returns the exit code.

    Raises InputError for a folder that holds a recording, OutputError, DeviceError if the device is not there at first.
    """
    settings = load_with_sources(config).settings
    require_writable_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("[0-9]*.json")):
        raise InputError(f"{folder} holds a recording already; name another folder")
    device = DeviceThread(functools.partial(open_device, settings), reopen_max_s=settings.camera.reopen_max_s)
    recorder = Recorder(folder)
    with logging_to_stderr(settings.log.format, settings.log.level), stop_signals() as stopped:
        device.start()
        try:
            _record(device, recorder, frames, seconds, stopped.is_set)
        finally:
            device.stop()
    sys.stdout.write(f"{recorder.frames} frames and {recorder.refused} refused ones in {folder}\n")
    return int(ExitCode.OK)


def _record(
    device: DeviceThread,
    recorder: "Recorder",
    frames: int | None,
    seconds: float | None,
    stopped: Callable[[], bool],
) -> None:
    until_s = time.monotonic() + seconds if seconds is not None else float("inf")
    while not stopped() and time.monotonic() < until_s and (frames is None or recorder.frames < frames):
        event = device.next_event(WAIT_S)
        if isinstance(event, Ended):
            if event.error is not None:
                raise event.error
            return
        if event is not None:
            recorder.take(event)


class Recorder:
    """Writes events of a device. Raises OutputError where the disk refuses, DeviceError if it was never there."""

    def __init__(self, folder: Path) -> None:
        self.frames = 0
        self.refused = 0
        self._folder = folder
        self._opening = -1
        self._frame_ids = FrameIds()
        self._log = structlog.get_logger("record")

    def take(self, event: DeviceEvent) -> None:
        """Write one event."""
        match event:
            case Opened():
                self._opening += 1
                self._frame_ids = event.frame_ids
                self._log.info("device_opened", device=event.name)
            case DeviceLost():
                if self._opening < 0:
                    raise DeviceError(event.detail)
                self._log.warning("device_lost", detail=event.detail)
            case Arrived() | Refused():
                with self._disk():
                    self._write(event)

    def _write(self, event: Arrived | Refused) -> None:
        if isinstance(event, Arrived):
            capture = event.capture
            recorded = self._recorded(event.arrived_ns, capture.frame_id, capture.trigger_ns)
            write_capture(self._folder, recorded, capture)
            self.frames += 1
            return
        error = event.error
        self._log.warning("capture_refused", reason=str(error.reason), detail=str(error))
        fields = {"lost_before": error.lost_before, "part_id": error.part_id}
        recorded = replace(self._recorded(event.arrived_ns, error.frame_id, error.trigger_ns), fields=fields)
        write_json(self._folder, recorded.refused(error.reason, str(error)))
        self.refused += 1

    def _recorded(self, arrived_ns: int, frame_id: int | None, trigger_ns: int | None) -> Recorded:
        return Recorded(
            number=self.frames + self.refused,
            opening=self._opening,
            frame_ids=self._frame_ids,
            arrived_ns=arrived_ns,
            frame_id=frame_id,
            trigger_ns=trigger_ns,
            fields={},
        )

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be written ({error.strerror or error})") from error
