"""Reads organised PLY clouds with colour: ASCII and binary, float and double (Turk's PLY format 1.0).

A cloud is organised if its points lie in rows and columns like pixels. Its header says so in a `comment` or `obj_info`
line with `width` and `height`, or `num_cols` and `num_rows`; the settings can say it for files without such a line.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.wire.limits import MAX_SIDE_PX

MAX_HEADER_BYTES: Final = 65_536
_TYPES: Final = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
_ORDERS: Final = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
_WIDTH: Final = re.compile(r"\b(?:width|num_cols|cols|columns)\b\s*[=:]?\s*(\d+)", re.IGNORECASE)
_HEIGHT: Final = re.compile(r"\b(?:height|num_rows|rows)\b\s*[=:]?\s*(\d+)", re.IGNORECASE)
_COLOURS: Final = (
    ("red", "green", "blue"),
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
)


@dataclass(frozen=True, slots=True)
class _Header:
    form: str
    count: int
    properties: tuple[tuple[str, str], ...]
    size: tuple[int, int] | None
    length: int


def read_ply(
    path: Path, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.floating]]:
    """Return the colour (H, W, 3) uint8 and points (H, W, 3), in the file's unit, of an organised cloud.

    `size` is (rows, columns) for a file that does not say them. Raises DatasetError for a file that is torn, not
    organised, or without colour.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror})") from error
    header = _read_header(path, content)
    rows, columns = _size_of(path, header, size)
    values = _vertices(path, header, content)
    colour = next((names for names in _COLOURS if set(names) <= set(values.dtype.names or ())), None)
    if colour is None:
        raise DatasetError(
            f"{path} has no colour; expected the vertex properties red, green and blue (uchar)"
        )
    rgb = np.stack([values[name] for name in colour], axis=-1)
    if rgb.dtype != np.uint8:
        raise DatasetError(f"{path}: its colour is {rgb.dtype}; expected uchar, 0 to 255")
    xyz = np.stack([values[name] for name in "xyz"], axis=-1)
    return rgb.reshape(rows, columns, 3), xyz.reshape(rows, columns, 3)


def write_ply(path: Path, rgb: NDArray[np.uint8], xyz: NDArray[np.float32]) -> None:
    """Write an organised cloud with colour, binary, with its missing points. Raises OSError."""
    height, width = rgb.shape[:2]
    kinds = [(axis, "<f4") for axis in "xyz"] + [(colour, "u1") for colour in _COLOURS[0]]
    values = np.empty(height * width, np.dtype(kinds))
    for number, (axis, colour) in enumerate(zip("xyz", _COLOURS[0], strict=True)):
        values[axis] = xyz[..., number].reshape(-1)
        values[colour] = rgb[..., number].reshape(-1)
    header = ["ply", "format binary_little_endian 1.0", f"comment width {width} height {height}"]
    header += [f"element vertex {values.size}", *(f"property float {axis}" for axis in "xyz")]
    header += [*(f"property uchar {colour}" for colour in _COLOURS[0]), "end_header", ""]
    path.write_bytes("\n".join(header).encode() + values.tobytes())


def _read_header(path: Path, content: bytes) -> _Header:
    end = re.search(rb"^end_header *\r?\n", content[:MAX_HEADER_BYTES], re.MULTILINE)
    if not content.startswith(b"ply") or end is None:
        raise DatasetError(f"{path} is not a PLY file, or its header is torn")
    lines = content[: end.start()].decode("latin-1").splitlines()
    words = [line.split() for line in lines]
    form = next((line[1] for line in words if line[:1] == ["format"] and len(line) > 1), "")
    if form not in _ORDERS:
        raise DatasetError(f"{path} has the format {form!r}; known: {', '.join(_ORDERS)}")
    count, properties = _vertex_element(path, words)
    said = " ".join(line for line in lines if line.startswith(("comment", "obj_info")))
    width, height = _WIDTH.search(said), _HEIGHT.search(said)
    size = (int(height[1]), int(width[1])) if width and height else None
    return _Header(form, count, properties, size, end.end())


def _vertex_element(path: Path, words: list[list[str]]) -> tuple[int, tuple[tuple[str, str], ...]]:
    elements = [index for index, line in enumerate(words) if line[:1] == ["element"]]
    if not elements or words[elements[0]][1:2] != ["vertex"]:
        raise DatasetError(f"{path}: its first element is not vertex")
    following = words[elements[0] + 1 : elements[1] if len(elements) > 1 else None]
    properties = []
    for line in (line for line in following if line[:1] == ["property"]):
        if len(line) != 3 or line[1] not in _TYPES:
            raise DatasetError(f"{path}: {' '.join(line)!r} is not a property of a point")
        properties.append((line[2], _TYPES[line[1]]))
    names = [name for name, _ in properties]
    if not {"x", "y", "z"} <= set(names) or len(set(names)) < len(names):
        raise DatasetError(f"{path}: its vertices have the properties {names}; expected x, y, z and colour")
    return _count(path, words[elements[0]]), tuple(properties)


def _count(path: Path, element: list[str]) -> int:
    if len(element) != 3 or not element[2].isdecimal():
        raise DatasetError(f"{path}: {' '.join(element)!r} has no count")
    return int(element[2])


def _size_of(path: Path, header: _Header, size: tuple[int, int] | None) -> tuple[int, int]:
    rows, columns = header.size or size or (0, 0)
    if not rows:
        raise DatasetError(
            f"{path} does not say its rows and columns (comment width … height …); set width and height under [folder]"
        )
    if rows * columns != header.count or not (1 <= rows <= MAX_SIDE_PX and 1 <= columns <= MAX_SIDE_PX):
        raise DatasetError(
            f"{path} has {header.count} points, not {rows} × {columns}: the cloud is not organised, so its points "
            "belong to no pixels; save it with its missing points"
        )
    return rows, columns


def _vertices(path: Path, header: _Header, content: bytes) -> NDArray[np.void]:
    dtype = np.dtype([(name, _ORDERS[header.form] + kind) for name, kind in header.properties])
    if header.form != "ascii":
        if len(content) - header.length < header.count * dtype.itemsize:
            raise DatasetError(f"{path} is torn: {header.count} points are announced, fewer are there")
        return np.frombuffer(content, dtype, header.count, header.length)
    return _ascii_vertices(path, header, dtype, content)


def _ascii_vertices(
    path: Path, header: _Header, dtype: np.dtype[np.void], content: bytes
) -> NDArray[np.void]:
    needed = header.count * len(header.properties)
    words = content[header.length :].split(None, needed)[:needed]
    if len(words) < needed:
        raise DatasetError(f"{path} is torn: {header.count} points are announced, fewer are there")
    try:
        table = np.array(words).astype(np.float64).reshape(header.count, -1)
    except ValueError as error:
        raise DatasetError(f"{path}: a value is not a number ({error})") from error
    values = np.empty(header.count, dtype)
    for column, (name, _) in enumerate(header.properties):
        if dtype[name].kind in "iu":
            _require_whole(path, name, table[:, column], np.iinfo(dtype[name]))
        values[name] = table[:, column]
    return values


def _require_whole(path: Path, name: str, column: NDArray[np.float64], limits: np.iinfo) -> None:
    """Raise DatasetError for values that the whole-number property would turn into others."""
    fits = (column >= limits.min) & (column <= limits.max) & (np.floor(column) == column)
    if not fits.all():
        wrong = column[~fits][0]
        raise DatasetError(
            f"{path}: {wrong:g} is no value of the property {name} ({limits.min} to {limits.max})"
        )
