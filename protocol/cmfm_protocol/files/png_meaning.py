"""Notes of a PNG about its pixels beside their values: rotation, several pictures, colours other than sRGB.

A viewer obeys these notes, a program that reads only the values does not. So a picture with such a note is refused: its
pixels would not lie on its points, or its colours would not be those of the line's camera.
"""

from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageCms

from cmfm_protocol.files.dataset_error import DatasetError

ORIENTATION_TAG: Final = 274
"""In EXIF and in TIFF."""
UPRIGHT: Final = 1

SRGB_GAMMA: Final = 0.45455
_SIGNATURE_BYTES: Final = 8
_SRGB_CODE: Final = (1, 13)
"""Primaries and transfer function of sRGB (ITU-T H.273)."""
_GAMMA_TOLERANCE: Final = 0.01
_SRGB_WHITE_AND_PRIMARIES: Final = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARY_TOLERANCE: Final = 0.005


def require_one_upright(path: Path, image: Image.Image) -> None:
    """Raise DatasetError for a PNG that is animated, or that its EXIF says is turned. `image` is loaded."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise DatasetError(f"{path} is animated and holds {frames} pictures; expected one")
    orientation = image.getexif().get(ORIENTATION_TAG, UPRIGHT)
    if orientation != UPRIGHT:
        raise DatasetError(
            f"{path} says that it is turned or mirrored (EXIF orientation {orientation}); turn its pixels themselves, "
            "so that they match those of the points"
        )


def require_srgb(path: Path, image: Image.Image) -> None:
    """Raise DatasetError for a PNG whose notes say that its colours are not sRGB."""
    note = _coded_colours(path) or (None if "srgb" in image.info else _foreign_colours(image.info))
    if note is not None:
        raise DatasetError(
            f"{path} has {note}; convert its colours to sRGB, or remove the note if they are sRGB"
        )


def _foreign_colours(info: dict[str | tuple[int, int], Any]) -> str | None:
    """Return what a PNG's chunks iCCP, gAMA and cHRM say against sRGB, or None."""
    if profile := info.get("icc_profile"):
        name = _profile_name(profile)
        return None if "srgb" in name.lower() else f"the colour profile {name!r} (iCCP)"
    gamma = info.get("gamma", SRGB_GAMMA)
    if abs(gamma - SRGB_GAMMA) > _GAMMA_TOLERANCE:
        return f"a gamma of {gamma:g} (gAMA), that of sRGB is {SRGB_GAMMA:g}"
    found = info.get("chromaticity", _SRGB_WHITE_AND_PRIMARIES)
    if any(abs(a - b) > _PRIMARY_TOLERANCE for a, b in zip(found, _SRGB_WHITE_AND_PRIMARIES, strict=False)):
        return "primary colours other than those of sRGB (cHRM)"
    return None


def _coded_colours(path: Path) -> str | None:
    """Return what the chunk cICP, which overrules the others, says against sRGB, or None."""
    with path.open("rb") as file:
        file.seek(_SIGNATURE_BYTES)
        while len(head := file.read(8)) == 8:
            length, name = int.from_bytes(head[:4], "big"), head[4:]
            if name == b"IDAT":
                break
            if name == b"cICP":
                code = tuple(file.read(4)[:2])
                return (
                    None
                    if code == _SRGB_CODE
                    else f"the colour code {code} (cICP), that of sRGB is {_SRGB_CODE}"
                )
            file.seek(length + 4, 1)
    return None


def _profile_name(profile: bytes) -> str:
    import io

    try:
        name: str = ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "unreadable"
    return name.strip()[:60]
