"""`cmfm-camera look`: one frame as files, as a picture for people, and in numbers."""

from pathlib import Path
from typing import Final

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from cmfm_cameras.capture import Capture, check_capture
from cmfm_cameras.commands.one_frame import next_frame
from cmfm_cameras.device import open_device
from cmfm_cameras.errors import ExitCode, RefusedCaptureError
from cmfm_cameras.files.ply import write_ply
from cmfm_cameras.settings.load import load_with_sources
from cmfm_protocol.files.outputs import require_writable_folder
from cmfm_protocol.pictures.panels import contact_sheet, depth_picture, outlined

TILE_PX: Final = 420
EDGE_SHARE: Final = 0.004
"""A step of the distance by this share from one pixel to the next is an edge: 2 mm at half a metre."""

MEASURED, MISSING = (70, 160, 90), (190, 60, 50)
SHADE: Final = 0.45


def look(config: Path, out: Path, limit_s: float) -> int:
    """Take one frame and write `rgb.png`, `xyz.tiff`, `points.ply` and `look.png` into `out`. Returns the exit code.

    Raises InputError, DeviceError, OutputError.
    """
    settings = load_with_sources(config).settings
    require_writable_folder(out)
    device = open_device(settings)
    try:
        capture = next_frame(device, limit_s)
    finally:
        device.close()
    out.mkdir(parents=True, exist_ok=True)
    write_files(out, capture)
    picture_of(capture, device.name).save(out / "look.png")
    console = Console(highlight=False)
    for line in facts(capture, device.name):
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"files: {out}/rgb.png, xyz.tiff, points.ply, look.png", soft_wrap=True, markup=False)
    return _refusal(console, capture)


def write_files(out: Path, capture: Capture) -> None:
    """Write the arrays of a frame."""
    Image.fromarray(capture.rgb).save(out / "rgb.png")
    tifffile.imwrite(out / "xyz.tiff", capture.xyz, photometric="rgb", metadata=None)
    write_ply(out / "points.ply", capture.rgb, capture.xyz)


def facts(capture: Capture, name: str) -> list[str]:
    """Return what the frame is, a line each."""
    height, width = capture.rgb.shape[:2]
    z = capture.xyz[..., 2]
    measured = z[np.isfinite(z)]
    lines = [
        f"device: {name}",
        f"pixels: {height} rows, {width} columns",
        f"coverage: {measured.size / z.size:.1%} of the pixels were measured",
    ]
    if measured.size:
        near, middle, far = np.percentile(measured, (0, 50, 100))
        lines.append(f"distance: {near:.4f} m to {far:.4f} m, median {middle:.4f} m")
        lines += [_extent(name, capture.xyz[..., axis]) for axis, name in enumerate("xy")]
    return lines + _device_facts(capture)


def picture_of(capture: Capture, name: str) -> Image.Image:
    """Draw the picture, the distance, the coverage, and the edges of the distance over the picture."""
    depth = np.nan_to_num(capture.xyz[..., 2], nan=0.0, posinf=0.0, neginf=0.0)
    relief, near_m, far_m = depth_picture(depth)
    edges = edges_of(depth)
    tiles = [
        (capture.rgb, np.zeros(depth.shape), "Picture"),
        (relief, np.zeros(depth.shape), f"Distance, {near_m:.3f} m (bright) to {far_m:.3f} m"),
        (
            coverage_picture(capture.rgb, depth > 0),
            np.zeros(depth.shape),
            "Coverage: green measured, red missing",
        ),
        (capture.rgb, edges.astype(np.float64), "Registration: edges of the distance over the picture"),
    ]
    row = [(outlined(pixels, field, 0.5, TILE_PX, 1), caption) for pixels, field, caption in tiles]
    return contact_sheet([row], name)


def edges_of(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) next to a step of the distance, or at the rim of what was measured."""
    edges = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        before, after = (np.moveaxis(depth, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        step = np.abs(after - before) > EDGE_SHARE * np.maximum(before, after)
        moved = np.moveaxis(edges, axis, 0)
        moved[:-1] |= step & (before >= after)
        moved[1:] |= step & (after > before)
    return edges


def coverage_picture(rgb: NDArray[np.uint8], measured: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the picture in grey, tinted by whether a pixel was measured."""
    grey = rgb.mean(axis=-1, keepdims=True)
    tint = np.where(measured[..., None], np.array(MEASURED), np.array(MISSING))
    return np.asarray(SHADE * grey + (1 - SHADE) * tint, dtype=np.uint8)


def _refusal(console: Console, capture: Capture) -> int:
    try:
        check_capture(capture)
    except RefusedCaptureError as error:
        console.print(f"not publishable ({error.reason}): {error}", style="red", soft_wrap=True, markup=False)
        return int(ExitCode.DEVICE)
    return int(ExitCode.OK)


def _extent(name: str, values: NDArray[np.float32]) -> str:
    known = values[np.isfinite(values)]
    return f"{name}: {known.min():.4f} m to {known.max():.4f} m" if known.size else f"{name}: nothing"


def _device_facts(capture: Capture) -> list[str]:
    said = {
        "frame id": capture.frame_id,
        "trigger time (synchronised clock), ns": capture.trigger_ns,
        "part": capture.part_id or None,
        "encoder, counts": capture.encoder,
        "exposure, µs": capture.exposure_us,
        "gain": capture.gain,
        "temperature, °C": capture.temperature_c,
    }
    return [
        f"{name}: {'the device does not say' if value is None else value}" for name, value in said.items()
    ]
