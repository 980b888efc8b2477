"""Blocks of profiles in files, in the order of their names: rows as they came, for a line at a desk and for tests."""

import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.errors import DeviceError, SourceEndedError
from cmfm_cameras.profiler.profiles import Profiles
from cmfm_protocol.files.dataset_error import DatasetError

PROFILES: Final = {"x_m": "f", "z_m": "f", "grey": "u"}
"""Arrays (n, w) of every block, with the kind of their numbers."""

COUNTS: Final = {"encoder": "iu", "row_id": "iu", "start": "b", "time_ns": "iu"}
"""Arrays (n,); only `encoder` is needed."""


class FileRows:
    """A folder of blocks (.npz). Raises DeviceError if the folder is not there."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DeviceError(f"folder {folder} is not there")
        self.name = f"profiles in {folder}"
        self._files = sorted(folder.glob("*.npz"))
        self._width: int | None = None

    def profiles(self, timeout_s: float) -> Profiles | None:  # noqa: ARG002 (a file is there at once)
        """Return the next block. Raises SourceEndedError after the last, DatasetError for a damaged file."""
        if not self._files:
            raise SourceEndedError("no more blocks of profiles")
        path = self._files.pop(0)
        block = read_block(path)
        if self._width not in (None, block.z_m.shape[1]):
            raise DatasetError(
                f"{path} has {block.z_m.shape[1]} points a profile, those before have {self._width}"
            )
        self._width = block.z_m.shape[1]
        return block

    def close(self) -> None:
        """Do nothing: no file stays open."""


def write_block(path: Path, block: Profiles) -> None:
    """Write a block."""
    arrays = {name: getattr(block, name) for name in (*PROFILES, *COUNTS)}
    given = {name: array for name, array in arrays.items() if array is not None}
    np.savez_compressed(path, allow_pickle=False, **given)


def read_block(path: Path) -> Profiles:
    """Read a block. Raises DatasetError naming the file and the array."""
    try:
        # Opened here: of a torn file numpy leaves its own open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DatasetError(
            f"{path} is torn or damaged ({error}); expected a block of profiles (.npz)"
        ) from error
    for name in (*PROFILES, "encoder"):
        if name not in arrays:
            raise DatasetError(
                f"{path} has no array {name}; docs/cameras.md says what a block of profiles holds"
            )
    shape = arrays["z_m"].shape
    for name, array in arrays.items():
        wanted, kinds = (shape, PROFILES[name]) if name in PROFILES else (shape[:1], COUNTS.get(name, ""))
        if array.shape != wanted or array.dtype.kind not in kinds or len(shape) != 2:
            raise DatasetError(f"{path}: {name} is {array.shape} {array.dtype}; expected {wanted}")
    return Profiles(
        arrays["x_m"].astype(np.float32),
        arrays["z_m"].astype(np.float32),
        arrays["grey"].astype(np.uint8),
        arrays["encoder"].astype(np.int64),
        arrays["row_id"].astype(np.int64) if "row_id" in arrays else None,
        arrays.get("start"),
        arrays["time_ns"].astype(np.int64) if "time_ns" in arrays else None,
    )
