"""One recorded frame as three files: the picture, the points bit for bit, and everything else."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import tifffile
from PIL import Image

from cmfm_cameras.capture import Capture
from cmfm_cameras.errors import InputError, Refusal, RefusedCaptureError
from cmfm_cameras.numbering import FrameIds
from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.picture_files import read_png, read_tiff

FAST_PNG: Final = 1
"""Level of compression: a recording keeps up with the camera."""

FIELDS: Final = ("part_id", "encoder", "exposure_us", "gain", "temperature_c", "lost_before")
"""Fields of a capture that are recorded as they are."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The contents of one JSON file. `opening` counts earlier openings of the device; `refusal` has no arrays.

    `arrived_ns` is CLOCK_REALTIME when the driver handed the frame over.
    """

    number: int
    opening: int
    frame_ids: FrameIds
    arrived_ns: int
    frame_id: int | None
    trigger_ns: int | None
    fields: dict[str, Any]
    refusal: tuple[Refusal, str] | None = None

    def refused(self, reason: Refusal, detail: str) -> "Recorded":
        """Return the same for a frame that was refused."""
        return replace(self, refusal=(reason, detail))

    def as_json(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        refusal = {"reason": str(self.refusal[0]), "detail": self.refusal[1]} if self.refusal else None
        return {
            "v": 1,
            "number": self.number,
            "opening": self.opening,
            "frame_ids": {"bits": self.frame_ids.bits, "lowest": self.frame_ids.lowest},
            "arrived_ns": self.arrived_ns,
            "frame_id": self.frame_id,
            "trigger_ns": self.trigger_ns,
            **self.fields,
            "refused": refusal,
        }


def write_capture(folder: Path, recorded: Recorded, capture: Capture) -> None:
    """Write a frame. Raises OSError."""
    name = _name(recorded.number)
    Image.fromarray(capture.rgb).save(folder / f"{name}.rgb.png", compress_level=FAST_PNG)
    tifffile.imwrite(folder / f"{name}.xyz.tiff", capture.xyz, photometric="rgb", metadata=None)
    fields = {field: getattr(capture, field) for field in FIELDS}
    write_json(folder, replace(recorded, fields=fields))


def write_json(folder: Path, recorded: Recorded) -> None:
    """Write what is known of a frame, in one step. Raises OSError."""
    path = folder / f"{_name(recorded.number)}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(recorded.as_json(), indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def read_recording(folder: Path) -> list[Recorded]:
    """Return what is known of every frame, in order. Raises InputError naming the folder or file."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of a recording; `cmfm-camera record` makes one")
    found = [_read_json(path) for path in sorted(folder.glob("[0-9]*.json"))]
    if not found:
        raise InputError(
            f"{folder} holds no recorded frame; `cmfm-camera record` writes NUMBER.json for each"
        )
    return found


def read_capture(folder: Path, recorded: Recorded) -> Capture:
    """Read a frame's arrays. Raises RefusedCaptureError for a refused frame, and for files that cannot be read."""
    if recorded.refusal is not None:
        reason, detail = recorded.refusal
        raise RefusedCaptureError(reason, detail, part_id=recorded.fields.get("part_id", ""))
    name = _name(recorded.number)
    try:
        rgb, xyz = read_png(folder / f"{name}.rgb.png"), read_tiff(folder / f"{name}.xyz.tiff")
    except DatasetError as error:
        part_id = recorded.fields.get("part_id", "")
        raise RefusedCaptureError(Refusal.INCOMPLETE, str(error), part_id=part_id) from error
    return Capture(rgb, xyz, recorded.frame_id, recorded.trigger_ns, **recorded.fields)


def _read_json(path: Path) -> Recorded:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        said = content["refused"]
        return Recorded(
            number=int(path.stem),
            opening=content["opening"],
            frame_ids=FrameIds(content["frame_ids"]["bits"], content["frame_ids"]["lowest"]),
            arrived_ns=content["arrived_ns"],
            frame_id=content["frame_id"],
            trigger_ns=content["trigger_ns"],
            fields={field: content[field] for field in FIELDS if field in content},
            refusal=(Refusal(said["reason"]), said["detail"]) if said else None,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a frame of a recording ({type(error).__name__}: {error})") from error


def _name(number: int) -> str:
    return f"{number:06d}"
