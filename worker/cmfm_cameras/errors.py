"""Errors of the cameras: those of a device or one capture, and those that end the process with an exit code."""

from enum import IntEnum, StrEnum

from cmfm_service.errors import StartupError
from cmfm_settings.errors import InputError

__all__ = [
    "DeviceError",
    "DeviceHungError",
    "ExitCode",
    "InputError",
    "Refusal",
    "RefusedCaptureError",
    "SourceEndedError",
    "StartupError",
]


class ExitCode(IntEnum):
    """The exit codes of `cmfm-camera`, documented in its `--help`."""

    OK = 0
    BUG = 1
    BAD_INPUT = 2
    STARTUP = 3
    DEVICE = 4


class Refusal(StrEnum):
    """Why a capture is not published: the label of a metric, and a word of the log."""

    INCOMPLETE = "incomplete"  # a component or a packet is missing
    INVALID = "invalid"  # arrays or text that the wire does not carry
    NOTHING_MEASURED = "nothing_measured"  # every point is missing
    NOT_METRES = "not_metres"  # extents that cannot be metres
    NOT_REGISTERED = "not_registered"  # colour and points of different pixels
    OTHER_TRIGGER = "other_trigger"  # colour and points of different triggers
    REPEATED_ID = "repeated_id"  # the frame id of the capture before
    ID_BACK = "id_back"  # a frame id below the one before
    ID_JUMP = "id_jump"  # more ids skipped than can be believed
    LATE = "late"  # asked for too long ago: the part is no longer where the photo-eye saw it
    UNSUPPORTED = "unsupported"  # a pixel format, mode or container that the adapter does not convert


class DeviceError(Exception):
    """The device is gone or does not do what it was told. It is closed and opened again."""


class DeviceHungError(Exception):
    """A call into the driver does not return. The process ends, so that its supervisor starts it again."""


class SourceEndedError(Exception):
    """The source has no more captures and never will: the end of a recording."""


class RefusedCaptureError(Exception):
    """One capture cannot be published. It is counted and its number is used, but no frame is sent.

    `frame_id`, `trigger_ns`, `lost_before`, `part_id` and `seq` are those of the capture, as in `Capture`. With
    `part_id` the worker's FAULT names the part that it rejects.
    """

    def __init__(
        self,
        reason: Refusal,
        detail: str,
        *,
        frame_id: int | None = None,
        trigger_ns: int | None = None,
        lost_before: int = 0,
        part_id: str = "",
        seq: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.frame_id = frame_id
        self.trigger_ns = trigger_ns
        self.lost_before = lost_before
        self.part_id = part_id
        self.seq = seq
