"""Readers of PNG and TIFF files; a file that cannot be used is a `DatasetError` that names it.

Files arrive torn, half copied or from another tool. Whatever the libraries raise or log about them, a user gets one
line: which file, what it is, what was expected.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.png_meaning import ORIENTATION_TAG, UPRIGHT, require_one_upright, require_srgb
from cmfm_protocol.files.tiff_chain import broken_chain
from cmfm_protocol.wire.limits import MAX_SIDE_PX

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_START_BYTES = 26  # signature, length and name of IHDR, width, height, bit depth, colour type
_PNG_GREY = 0  # the colour type
_XYZ_EXPECTED = "expected a TIFF of (H, W, 3) float32 or float64"
_OTHER_KINDS = {b"\xff\xd8\xff": "JPEG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"GIF8": "GIF", b"BM": "BMP"}

Pixels = TypeVar("Pixels", bound=NDArray[np.generic])


def read_png(path: Path) -> NDArray[np.uint8]:
    """Read a PNG of at most 8 bits as (H, W, 3) uint8 sRGB; alpha is dropped.

    Raises DatasetError, also for a picture that a viewer would turn, or whose colours are not sRGB.
    """
    png_size(path)

    def rgb(path: Path, image: Image.Image) -> NDArray[np.uint8]:
        require_srgb(path, image)
        return np.array(image.convert("RGB"), dtype=np.uint8)

    return decode_png(path, rgb)


def read_png_16bit(path: Path) -> NDArray[np.uint16]:
    """Read a grey PNG of 16 bits as (H, W) uint16. Raises DatasetError."""
    png_size(path, bits=16)
    return decode_png(path, lambda _, image: np.array(image, dtype=np.uint16), "a grey 16-bit PNG")


def decode_png(
    path: Path, pixels: Callable[[Path, Image.Image], Pixels], expected: str = "an 8-bit PNG"
) -> Pixels:
    """Decode a PNG with `pixels`. Raises DatasetError if it is damaged, turned, or holds several pictures."""
    try:
        # Formats are named so that a damaged file is not tried on every decoder Pillow has.
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            require_one_upright(path, image)
            return pixels(path, image)
    except DatasetError:
        raise
    except Exception as error:  # a damaged PNG raises errors of many kinds
        raise DatasetError(f"{path} is torn or damaged ({_cause(error)}); expected {expected}") from error


def is_whole_png(path: Path) -> bool:
    """Tell whether a PNG can be decoded."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
    except Exception:  # noqa: BLE001 (a damaged PNG raises errors of many kinds)
        return False
    return True


def png_size(path: Path, *, bits: Literal[8, 16] = 8) -> tuple[int, int]:
    """Height and width of a PNG of at most 8 bits, or of a grey one of 16, from its first bytes.

    Raises DatasetError if the file is missing, is not a PNG of that kind, or is larger than the limits of the wire.
    """
    expected = "an 8-bit PNG" if bits == 8 else "a grey 16-bit PNG"
    _require_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(_PNG_START_BYTES)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({_cause(error)})") from error
    if not start.startswith(_PNG_SIGNATURE):
        kind = next((name for magic, name in _OTHER_KINDS.items() if start.startswith(magic)), None)
        was = f"is a {kind} file" if kind else "is empty" if not start else "does not start like a PNG"
        raise DatasetError(f"{path} {was}; expected {expected}")
    if len(start) < _PNG_START_BYTES:
        raise DatasetError(
            f"{path} is torn ({len(start)} bytes); expected a whole {expected.split(' ', 1)[1]}"
        )
    width, height = int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")
    depth, colour_type = start[24], start[25]
    if depth > 8 if bits == 8 else depth != 16:
        raise DatasetError(f"{path} has {depth} bits a channel; expected {expected}")
    if bits == 16 and colour_type != _PNG_GREY:
        raise DatasetError(f"{path} is in colour; expected {expected}")
    _check_size(path, height, width)
    return height, width


def read_tiff(path: Path) -> NDArray[np.float32]:
    """Read a TIFF of three float channels as (H, W, 3) float32, compressed or not. Raises DatasetError."""
    _check_tiff_chain(path)
    with _tifffile_log() as logged:
        try:
            with tifffile.TiffFile(path) as tiff:
                series = tiff.series[0]
                _require_one_upright_tiff(path, tiff)
                _check_tiff(path, tuple(series.shape), series.axes, np.dtype(series.dtype))
                values = series.asarray()
                axes = series.axes
        except DatasetError:
            raise
        except Exception as error:  # a damaged TIFF raises errors of many kinds
            raise DatasetError(f"{path} is torn or damaged ({_cause(error)}); {_XYZ_EXPECTED}") from error
    if logged:
        raise DatasetError(f"{path} is torn or damaged ({logged[0]}); {_XYZ_EXPECTED}")
    if axes == "SYX":  # stored as three planes
        values = np.moveaxis(values, 0, -1)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 it becomes inf: a point not measured
        return np.ascontiguousarray(values, dtype=np.float32)


def _check_tiff_chain(path: Path) -> None:
    """Refuse a chain of pages that is a circle, in which a reader would never end."""
    _require_file(path)
    try:
        with path.open("rb") as file:
            broken = broken_chain(file)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({_cause(error)})") from error
    if broken:
        raise DatasetError(f"{path} is torn or damaged ({broken}); {_XYZ_EXPECTED}")


def _require_one_upright_tiff(path: Path, tiff: tifffile.TiffFile) -> None:
    if len(tiff.series) > 1:
        raise DatasetError(f"{path} holds {len(tiff.series)} pictures; {_XYZ_EXPECTED}, and no other page")
    tag = tiff.series[0].keyframe.tags.get(ORIENTATION_TAG)
    if tag is not None and tag.value != UPRIGHT:
        raise DatasetError(
            f"{path} says that it is turned or mirrored (TIFF tag 274 is {int(tag.value)}); turn its rows and columns "
            "themselves, so that they match those of the picture"
        )


def _check_tiff(path: Path, shape: tuple[int, ...], axes: str, dtype: np.dtype[np.generic]) -> None:
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        raise DatasetError(f"{path} holds {dtype}; {_XYZ_EXPECTED}")
    channel = 0 if axes == "SYX" else -1
    if len(shape) != 3 or shape[channel] != 3:
        raise DatasetError(f"{path} holds an array of shape {shape}; {_XYZ_EXPECTED}")
    height, width = shape[1:] if axes == "SYX" else shape[:2]
    _check_size(path, height, width)


def _check_size(path: Path, height: int, width: int) -> None:
    if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise DatasetError(f"{path} is {width}×{height} pixels; expected sides of 1 to {MAX_SIDE_PX}")


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise DatasetError(f"{path} {'is not a file' if path.exists() else 'is missing'}")


def _cause(error: Exception) -> str:
    """The error in one short line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


@contextmanager
def _tifffile_log() -> Iterator[list[str]]:
    """Collect the errors that tifffile logs in this thread, and keep its log off the console."""
    logged: list[str] = []
    this_thread = threading.get_ident()

    def swallow(record: logging.LogRecord) -> bool:
        if record.thread != this_thread:
            return True
        if record.levelno >= logging.ERROR:
            logged.append(" ".join(record.getMessage().split())[:160])
        return False

    log = logging.getLogger("tifffile")
    log.addFilter(swallow)
    try:
        yield logged
    finally:
        log.removeFilter(swallow)
