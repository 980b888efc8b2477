"""The points of a buffer: coordinates of every layout to metres in the sensor's frame, NaN where missing. Pure.

Rows are converted in strips that stay in the processor's cache (`affine`), each to its place in one new array: nothing
of the buffer is kept, and nothing else is copied.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.errors import Refusal, RefusedCaptureError
from cmfm_cameras.gentl.affine import map_interleaved, map_planes, missing_points, strips
from cmfm_cameras.gentl.parts import Part, channels, is_known, planes
from cmfm_cameras.gentl.scan3d import Intrinsics, Scan3d, posed, to_sensor

GRID_MODES: Final = ("CalibratedABC_Grid",)
DISTANCE_MODES: Final = ("CalibratedC",)
RECTIFIED_MODES: Final = ("RectifiedC",)
DISPARITY_MODES: Final = ("DisparityC",)
MODES: Final = (*GRID_MODES, *DISTANCE_MODES, *RECTIFIED_MODES, *DISPARITY_MODES)

_WHY_NOT: Final = {
    "CalibratedABC_PointCloud": "its points belong to no pixels",
    "UncalibratedC": "it is not calibrated",
    "CalibratedAC": "it is a profile: see [profiler]",
    "CalibratedAC_Linescan": "it is a profile: see [profiler]",
    "RectifiedC_Linescan": "it is a profile: see [profiler]",
    "CalibratedC_Linescan": "it is a profile: see [profiler]",
    "DisparityC_Linescan": "it is a profile: see [profiler]",
}

Conversion = Callable[[slice, NDArray[np.float32]], None]
"""Writes the points of some rows to their place, (rows, W, 3) float32."""


def point_parts(parts: Sequence[Part]) -> list[Part]:
    """Return the parts that hold coordinates."""
    return [part for part in parts if is_known(part) and part.format.kind == "points"]


def points(raw: bytes | memoryview, parts: Sequence[Part], scan: Scan3d) -> NDArray[np.float32]:
    """Return the points (H, W, 3) float32 metres in a new array; a missing point is NaN in all coordinates.

    Raises RefusedCaptureError for coordinates that are missing, not of the same pixels, or of a mode in which they are
    not registered.
    """
    _require_convertible(scan)
    found = point_parts(parts)
    _require_same_pixels(found)
    convert = _conversion(raw, found, scan)
    height, width = found[0].height, found[0].width
    xyz = np.empty((height, width, 3), np.float32)
    for rows in strips(height, width):
        convert(rows, xyz[rows])
    return xyz


def _conversion(raw: bytes | memoryview, parts: Sequence[Part], scan: Scan3d) -> Conversion:
    """What converts the points of a strip of rows."""
    layouts = [(part.format.axes, part.format.planar) for part in parts]
    if scan.output_mode in GRID_MODES and layouts == [("ABC", False)]:
        return _interleaved(channels(raw, parts[0]), scan)
    axes = _axes(raw, parts)
    if scan.output_mode in GRID_MODES:
        return _grid(axes, scan, parts)
    if "C" not in axes:
        raise RefusedCaptureError(Refusal.INCOMPLETE, f"{scan.output_mode} without a component Coord3D_C")
    if scan.output_mode in RECTIFIED_MODES:
        return _rectified(axes["C"], scan)
    return _along_rays(axes["C"], scan, parts[0])


def _require_convertible(scan: Scan3d) -> None:
    if scan.output_mode not in MODES:
        why = _WHY_NOT.get(scan.output_mode, "it is not known")
        raise RefusedCaptureError(
            Refusal.NOT_REGISTERED,
            f"Scan3dOutputMode {scan.output_mode} is not converted, {why}; set one of {', '.join(MODES)}",
        )
    if scan.system != "Cartesian":
        raise RefusedCaptureError(
            Refusal.UNSUPPORTED,
            f"Scan3dCoordinateSystem {scan.system} is not converted; set it to Cartesian",
        )


def require_same_pixels(colour: Part, parts: Sequence[Part]) -> None:
    """Raise RefusedCaptureError unless the picture and every component of points cover the same pixels."""
    for part in point_parts(parts):
        if part.pixels != colour.pixels:
            raise RefusedCaptureError(
                Refusal.NOT_REGISTERED,
                f"{colour.format.name} covers rows and columns {_region(colour)} of the sensor, {part.format.name} "
                f"{_region(part)}: set the same region for both components",
            )


def _region(part: Part) -> str:
    return f"{part.y_offset}+{part.height}, {part.x_offset}+{part.width}"


def _require_same_pixels(parts: Sequence[Part]) -> None:
    if len({part.pixels for part in parts}) > 1:
        raise RefusedCaptureError(
            Refusal.NOT_REGISTERED, "the components of the points cover different pixels"
        )


def _axes(raw: bytes | memoryview, parts: Sequence[Part]) -> dict[str, NDArray[Any]]:
    """Axis → view (H, W) of its numbers."""
    axes: dict[str, NDArray[Any]] = {}
    for part in parts:
        found = part.format
        views = planes(raw, part) if found.planar else np.moveaxis(channels(raw, part), -1, 0)
        for axis, view in zip(found.axes, views, strict=True):
            if axis in axes:
                raise RefusedCaptureError(
                    Refusal.INCOMPLETE, f"the buffer holds two components of axis {axis}"
                )
            axes[axis] = view
    return axes


def _grid(axes: dict[str, NDArray[Any]], scan: Scan3d, parts: Sequence[Part]) -> Conversion:
    if axes.keys() != {"A", "B", "C"}:
        names = ", ".join(part.format.name for part in parts) or "no component of points"
        raise RefusedCaptureError(Refusal.INCOMPLETE, f"{scan.output_mode} with {names}; it needs A, B and C")
    matrix, offset = to_sensor(scan)

    def convert(rows: slice, out: NDArray[np.float32]) -> None:
        numbers = [axes[axis][rows] for axis in "ABC"]
        map_planes(numbers, matrix, offset, missing_points(numbers, scan), out)

    return convert


def _interleaved(numbers: NDArray[Any], scan: Scan3d) -> Conversion:
    """Convert points that are interleaved already."""
    matrix, offset = to_sensor(scan)
    marked = [_is_marked(scan, axis) for axis in range(3)]

    def convert(rows: slice, out: NDArray[np.float32]) -> None:
        strip = numbers[rows]
        planes_of_marks = [
            np.ascontiguousarray(strip[..., axis]) if is_marked else None
            for axis, is_marked in enumerate(marked)
        ]
        map_interleaved(strip, matrix, offset, missing_points(planes_of_marks, scan), out)

    return convert


def _is_marked(scan: Scan3d, axis: int) -> bool:
    return scan.axes[axis].invalid is not None or (axis == 2 and scan.zero_is_missing)


def _rectified(c: NDArray[Any], scan: Scan3d) -> Conversion:
    """A and B follow from column and row, by their scale and offset."""
    columns = np.broadcast_to(np.arange(c.shape[1], dtype=np.float32)[None, :], c.shape)
    lines = np.broadcast_to(np.arange(c.shape[0], dtype=np.float32)[:, None], c.shape)
    matrix, offset = to_sensor(scan)

    def convert(rows: slice, out: NDArray[np.float32]) -> None:
        missing = missing_points([None, None, c[rows]], scan)
        map_planes([columns[rows], lines[rows], c[rows]], matrix, offset, missing, out)

    return convert


def _along_rays(c: NDArray[Any], scan: Scan3d, part: Part) -> Conversion:
    """A and B follow from the distance and the pixel's ray."""
    intrinsics = scan.intrinsics
    if intrinsics is None:
        raise RefusedCaptureError(
            Refusal.NOT_REGISTERED,
            f"{scan.output_mode} needs the focal length and principal point: the device does not say them, set fx, fy, "
            "cx and cy",
        )
    if scan.output_mode in DISPARITY_MODES and scan.baseline is None:
        raise RefusedCaptureError(
            Refusal.NOT_REGISTERED, f"{scan.output_mode} needs Scan3dBaseline, which the device does not say"
        )
    across, down = _rays(intrinsics, part)
    matrix, offset = posed(scan, np.eye(3), np.zeros(3))

    def convert(rows: slice, out: NDArray[np.float32]) -> None:
        z_m, missing = _distances(c[rows], scan, intrinsics)
        map_planes([z_m * across, z_m * down[rows], z_m], matrix, offset, missing, out)

    return convert


def _distances(
    c: NDArray[Any], scan: Scan3d, intrinsics: Intrinsics
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    missing = missing_points([None, None, c], scan)
    axis = scan.axes[2]
    if scan.output_mode in DISTANCE_MODES:
        z_m = np.multiply(c, axis.scale * scan.metres, dtype=np.float32, casting="unsafe")
        z_m += np.float32(axis.offset * scan.metres)
        return z_m, missing
    disparity = np.multiply(c, axis.scale, dtype=np.float64, casting="unsafe") + axis.offset
    with np.errstate(divide="ignore"):
        z = intrinsics.fx * (scan.baseline or 0.0) * scan.metres / disparity
    none = ~(disparity > 0)
    return z.astype(np.float32), none if missing is None else none | missing


def _rays(intrinsics: Intrinsics, part: Part) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    columns = np.arange(part.x_offset, part.x_offset + part.width)
    rows = np.arange(part.y_offset, part.y_offset + part.height)
    across = ((columns - intrinsics.cx) / intrinsics.fx).astype(np.float32)
    down = ((rows - intrinsics.cy) / intrinsics.fy).astype(np.float32)
    return across[None, :], down[:, None]
