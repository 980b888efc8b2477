"""The picture of a buffer: mono, RGB and Bayer formats to sRGB. Pure."""

from collections.abc import Sequence
from typing import Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.errors import Refusal, RefusedCaptureError
from cmfm_cameras.gentl.parts import Part, channels, is_known, planes, unpacked

MOSAICS: Final = {
    "RG": cv2.COLOR_BayerBG2RGB,
    "GR": cv2.COLOR_BayerGB2RGB,
    "GB": cv2.COLOR_BayerGR2RGB,
    "BG": cv2.COLOR_BayerRG2RGB,
}
"""PFNC names a mosaic by its first two pixels, OpenCV by the second and third of its second row."""

_ORDERS: Final = {
    ("RGB", 4): cv2.COLOR_RGBA2RGB,
    ("BGR", 3): cv2.COLOR_BGR2RGB,
    ("BGR", 4): cv2.COLOR_BGRA2RGB,
}


def picture_part(parts: Sequence[Part]) -> Part:
    """Return the part that holds the picture. Raises RefusedCaptureError without one, and for several."""
    found = [part for part in parts if is_known(part) and part.format.kind in ("mono", "rgb", "bayer")]
    if len(found) == 1:
        return found[0]
    formats = ", ".join(part.format.name if is_known(part) else f"0x{part.code:08X}" for part in parts)
    raise RefusedCaptureError(
        Refusal.INCOMPLETE,
        f"the buffer holds {len(found)} pictures of a known format ({formats or 'no part'}); enable one component "
        "Intensity with a format of docs/cameras.md",
    )


def picture(raw: bytes | memoryview, part: Part) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3) uint8 in a new array. More than 8 bits keep their highest 8."""
    found = part.format
    if found.planar:
        return cast(
            "NDArray[np.uint8]", cv2.merge([np.ascontiguousarray(plane) for plane in planes(raw, part)])
        )
    values = unpacked(raw, part)[..., None] if not found.stored else channels(raw, part)
    eight = _eight_bits(values, found.bits)
    if found.kind == "rgb":
        return _ordered(eight, found.order)
    code = MOSAICS[found.order] if found.kind == "bayer" else cv2.COLOR_GRAY2RGB
    return cast("NDArray[np.uint8]", cv2.cvtColor(np.ascontiguousarray(eight[..., 0]), code))


def _eight_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    return values if bits == 8 else (values >> (bits - 8)).astype(np.uint8)


def _ordered(values: NDArray[np.uint8], order: str) -> NDArray[np.uint8]:
    code = _ORDERS.get((order, values.shape[2]))
    if code is None:
        return np.array(values, order="C")
    return cast("NDArray[np.uint8]", cv2.cvtColor(np.ascontiguousarray(values), code))
