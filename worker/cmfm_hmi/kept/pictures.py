"""Pictures and points of one archived part, as bytes for a browser. They raise InputError or DatasetError."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.files.picture_files import png_size, read_png, read_tiff
from cmfm_protocol.pictures.layers import SCALE_END, depth_layer, heat_layer, overview
from cmfm_protocol.pictures.overlay import anomaly_level, as_scored, modality_scale_end
from cmfm_protocol.pictures.point_cloud import CloudMaps, point_cloud
from cmfm_protocol.wire.result import Result
from cmfm_records.archived_part import RGB_FILE, XYZ_FILE, read_map, read_result
from cmfm_settings.errors import InputError

OVERVIEW_PX: Final = 320
_JPEG_QUALITY: Final = 82


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of picture: how it is made of a part's folder, and its media type."""

    make: Callable[[Path], bytes]
    media_type: str


def depth_png(folder: Path) -> bytes:
    """Draw the depth of a part, of its frame's shape."""
    return _png(depth_layer(read_tiff(folder / XYZ_FILE)))


def psi_png(folder: Path) -> bytes:
    """Draw Ψ over the frame; the scale ends at twice the threshold."""
    result = read_result(folder)
    psi = scored_psi(folder, result)
    return _png(heat_layer(psi, anomaly_level(psi, result.threshold), png_size(folder / RGB_FILE)))


def modality_png(folder: Path, key: str) -> bytes:
    """Draw Ψ_2D or Ψ_3D (`key` psi_2d, psi_3d) over the frame, by its own scale."""
    result = read_result(folder)
    psi, values = scored_psi(folder, result), _required_map(folder, key)
    end = modality_scale_end(values, psi, result.threshold)
    return _png(heat_layer(values, end / SCALE_END, png_size(folder / RGB_FILE)))


def overview_jpeg(folder: Path) -> bytes:
    """Draw the part small for a list: the picture, and the heat of Ψ over it if there are maps."""
    result = read_result(folder)
    psi = read_map(folder, "psi")
    shown = None if psi is None else as_scored(psi, result.score)
    foreground = _foreground(folder)
    image = overview(read_png(folder / RGB_FILE), shown, result.threshold, foreground, OVERVIEW_PX)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_JPEG_QUALITY)
    return content.getvalue()


def points(folder: Path) -> bytes:
    """Encode a sample of the part's points (`cmfm_protocol.pictures.point_cloud`)."""
    rgb, xyz = read_png(folder / RGB_FILE), read_tiff(folder / XYZ_FILE)
    if rgb.shape != xyz.shape:
        raise InputError(f"{folder}: {RGB_FILE} and {XYZ_FILE} are not of one size")
    return point_cloud(rgb, xyz, _cloud_maps(folder))


def scored_psi(folder: Path, result: Result) -> NDArray[Any]:
    """Return Ψ (224, 224) in the unit of the part's score."""
    return as_scored(_required_map(folder, "psi"), result.score)


KINDS: Final[Mapping[str, Kind]] = {
    "depth.png": Kind(depth_png, "image/png"),
    "psi.png": Kind(psi_png, "image/png"),
    "psi_2d.png": Kind(lambda folder: modality_png(folder, "psi_2d"), "image/png"),
    "psi_3d.png": Kind(lambda folder: modality_png(folder, "psi_3d"), "image/png"),
    "overview.jpg": Kind(overview_jpeg, "image/jpeg"),
    "points.bin": Kind(points, "application/octet-stream"),
}
"""The kinds of pictures by the name in their address."""


def _required_map(folder: Path, key: str) -> NDArray[np.generic]:
    found = read_map(folder, key)
    if found is None:
        raise InputError(f"{folder}: has no {key}.npy; the part was archived without maps")
    return found


def _foreground(folder: Path) -> NDArray[np.bool_] | None:
    found = read_map(folder, "foreground")
    return None if found is None else np.asarray(found, dtype=np.bool_)


def _cloud_maps(folder: Path) -> CloudMaps | None:
    """The maps that colour points; None if the part has none, or its result.json cannot be used."""
    psi = read_map(folder, "psi")
    try:
        result = read_result(folder)
    except InputError:
        return None
    if psi is None:
        return None
    scored = as_scored(psi, result.score)
    return CloudMaps(scored, anomaly_level(scored, result.threshold), _foreground(folder))


def _png(image: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=3)
    return content.getvalue()
