"""Reads and writes one prepared part as a safetensors file, without loss; its record is in the header.

| tensor | dtype, shape | content |
|---|---|---|
| rgb | float32 (3, 224, 224) | `PreparedFrames.rgb` |
| points | float32 (3, P) | `xyz` at the P foreground pixels in row order; it is 0 elsewhere |
| foreground, valid | uint8 (6272,) | bits of both masks |
| plane | float32 (4,) | the tray's plane |
| surroundings | int32 (4,) | `PreparedFrames.surroundings` |
| picture | uint8 (H, W, 3) | the picture as it was given |
"""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cmfm_protocol.files.dataset import PartFiles
from cmfm_protocol.wire.points import PointFacts
from cmfm_worker.cfm.prepare import SIZE_PX, PreparedFrames

_RECORD: Final = "record"
_MASK_BYTES: Final = SIZE_PX * SIZE_PX // 8
_MOST_BYTES: Final = 2 * 3 * 4 * SIZE_PX * SIZE_PX + 2 * _MASK_BYTES + 2048

_TENSORS: Final = ("rgb", "points", "foreground", "valid", "plane", "surroundings", "picture")


class UnreadableError(Exception):
    """A prepared part's file is missing, damaged or of another kind; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a part in the state in which it was read; with another size or time it counts as changed."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class PartRecord:
    """The origin of a prepared part; `torn` says why it could not be read, "" if it could.

    `key` is `CacheKey.sha256`, `size_px` height and width of the part's pictures. `xyz_unit` is the unit that the
    points were read in, `distance_m` and `impossible_px` are those of `PointFacts`.
    """

    part: str
    key: str
    sources: tuple[SourceFile, ...]
    size_px: tuple[int, int]
    torn: str = ""
    xyz_unit: str = "m"
    distance_m: float | None = None
    impossible_px: int = 0

    @property
    def points(self) -> PointFacts:
        """Measures of the part's points."""
        return PointFacts(self.impossible_px, self.distance_m, None)

    def as_text(self) -> str:
        """Return the record as text for the file's header."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Read the text that `as_text` returns. Raises ValueError, TypeError or KeyError for anything else."""
        table = json.loads(text)
        height, width = (int(side) for side in table["size_px"])
        sources = tuple(SourceFile(**source) for source in table["sources"])
        distance_m = None if table["distance_m"] is None else float(table["distance_m"])
        texts = (str(table[key]) for key in ("part", "key", "torn", "xyz_unit"))
        part, key, torn, xyz_unit = texts
        return cls(
            part, key, sources, (height, width), torn, xyz_unit, distance_m, int(table["impossible_px"])
        )


def most_part_bytes(size_px: tuple[int, int]) -> int:
    """Return the size of the file of a part that fills its picture of `size_px` pixels; most parts need less."""
    return _MOST_BYTES + 3 * size_px[0] * size_px[1]


def sources_of(part: PartFiles) -> tuple[SourceFile, ...]:
    """Return the present state of the part's files; a missing one has size −1."""
    found = []
    for path in part.sources:
        try:
            stat = path.stat()
        except OSError:
            found.append(SourceFile(path.name, -1, 0))
        else:
            found.append(SourceFile(path.name, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def write_prepared(path: Path, record: PartRecord, frames: PreparedFrames | None, place: int = 0) -> int:
    """Write frame `place` of a batch, or only the record of an unreadable part. Return the file's size in bytes.

    The file appears whole. Raises OSError.
    """
    tensors = {} if frames is None else _packed(frames, place)
    content: bytes = save(tensors, {_RECORD: record.as_text()})
    handle, scratch = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(scratch).chmod(0o644)  # temporary files are private, but a cache is often shared
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    return len(content)


def read_record(path: Path) -> PartRecord:
    """Read only the record of a prepared part, from its file's header. Raises UnreadableError."""
    try:
        with safe_open(path, framework="pt") as file:
            return _record(file)
    except _TROUBLES as error:
        raise _unreadable(path, error) from error


def read_prepared(path: Path) -> tuple[PartRecord, dict[str, Tensor]]:
    """Read record and frame: tensors as in `PreparedFrames` without B, on the CPU; empty for an unreadable part.

    Raises UnreadableError.
    """
    try:
        with safe_open(path, framework="pt") as file:
            record = _record(file)
            return record, {} if record.torn else _unpacked(
                {key: file.get_tensor(key) for key in _TENSORS}, record.size_px
            )
    except _TROUBLES as error:
        raise _unreadable(path, error) from error


def stacked(frames: Sequence[dict[str, Tensor]], device: torch.device) -> PreparedFrames:
    """Stack frames into a batch on a device."""
    return PreparedFrames(**{key: torch.stack([f[key] for f in frames]).to(device) for key in frames[0]})


_TROUBLES: Final = (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError)


def _unreadable(path: Path, error: Exception) -> UnreadableError:
    if isinstance(error, FileNotFoundError):
        return UnreadableError(f"{path} is missing")
    return UnreadableError(f"{path} is damaged or not a prepared part ({' '.join(str(error).split())[:160]})")


def _record(file: Any) -> PartRecord:
    return PartRecord.of_text((file.metadata() or {})[_RECORD])


def _packed(frames: PreparedFrames, place: int) -> dict[str, Tensor]:
    foreground, valid = frames.foreground[place].cpu(), frames.valid[place].cpu()
    return {
        "rgb": frames.rgb[place].cpu().contiguous(),
        "points": frames.xyz[place].cpu()[:, foreground].contiguous(),
        "foreground": torch.from_numpy(np.packbits(foreground.numpy())),
        "valid": torch.from_numpy(np.packbits(valid.numpy())),
        "plane": frames.plane[place].cpu().contiguous(),
        "surroundings": frames.surroundings[place].cpu().contiguous(),
        "picture": frames.picture[place].cpu().contiguous(),
    }


def _unpacked(tensors: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
    foreground, valid = (_mask(tensors[key]) for key in ("foreground", "valid"))
    expected = {
        "rgb": (torch.float32, (3, SIZE_PX, SIZE_PX)),
        "points": (torch.float32, (3, int(foreground.sum()))),
        "plane": (torch.float32, (4,)),
        "surroundings": (torch.int32, (4,)),
        "picture": (torch.uint8, (*size_px, 3)),
    }
    for key, (dtype, shape) in expected.items():
        if tensors[key].dtype != dtype or tuple(tensors[key].shape) != shape:
            raise ValueError(
                f"{key} is {tensors[key].dtype} {tuple(tensors[key].shape)}, not {dtype} {shape}"
            )
    xyz = torch.zeros(3, SIZE_PX, SIZE_PX)
    xyz[:, foreground] = tensors["points"]
    return {
        "rgb": tensors["rgb"],
        "xyz": xyz,
        "foreground": foreground,
        "valid": valid,
        "plane": tensors["plane"],
        "surroundings": tensors["surroundings"],
        "picture": tensors["picture"],
    }


def _mask(bits: Tensor) -> Tensor:
    if bits.dtype != torch.uint8 or tuple(bits.shape) != (_MASK_BYTES,):
        raise ValueError(f"a mask is {bits.dtype} {tuple(bits.shape)}, not uint8 ({_MASK_BYTES},)")
    return torch.from_numpy(np.unpackbits(bits.numpy())).view(SIZE_PX, SIZE_PX).bool()
