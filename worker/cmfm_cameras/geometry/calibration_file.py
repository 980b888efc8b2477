"""The calibration file of two devices: a TOML file that `cmfm-camera calibrate` writes, or a person.

`docs/cameras.md` documents it. Values are checked as a whole: a file that is read describes two lenses and a motion.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cmfm_cameras.errors import InputError
from cmfm_cameras.geometry.lens import ALLOWED_COUNTS, Lens
from cmfm_cameras.geometry.pose import Pose, rotation_problem
from cmfm_protocol.wire.limits import MAX_SIDE_PX, MAX_TEXT_BYTES
from cmfm_settings.error_messages import describe_validation_error

FORMAT: Final = "cmfm two-device calibration 1"

FARTHEST_APART_M: Final = 10.0
"""No two devices over one part are farther apart: a larger translation is in millimetres."""

LEAST_VIEW_TAN: Final = 0.01
"""A lens whose picture spans less than this (0.6°) has its focal length in another unit than pixels."""

Px = Annotated[float, Field(allow_inf_nan=False)]
FocalPx = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Triple = tuple[Number, Number, Number]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LensTable(_Table):
    """A lens, as `cmfm_cameras.geometry.lens` describes it, and how well it fits the views that it was taken from."""

    width_px: int = Field(ge=2, le=MAX_SIDE_PX)
    height_px: int = Field(ge=2, le=MAX_SIDE_PX)
    fx_px: FocalPx
    fy_px: FocalPx
    cx_px: Px
    cy_px: Px
    distortion: tuple[Number, ...] = ()
    error_px: float | None = Field(None, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _plausible(self) -> Self:
        if len(self.distortion) not in ALLOWED_COUNTS:
            raise ValueError(
                f"distortion has {len(self.distortion)} numbers; expected 0, 4 (k1, k2, p1, p2), 5 (and k3) or 8 (and "
                "k4, k5, k6)"
            )
        if min(self.width_px / self.fx_px, self.height_px / self.fy_px) < LEAST_VIEW_TAN:
            raise ValueError(
                f"fx_px = {self.fx_px:g} of a picture {self.width_px} pixels wide: a focal length in pixels is "
                "expected (millimetres over the size of a pixel)"
            )
        inside = (
            -self.width_px <= self.cx_px <= 2 * self.width_px
            and -self.height_px <= self.cy_px <= 2 * self.height_px
        )
        if not inside:
            raise ValueError(
                f"the principal point ({self.cx_px:g}, {self.cy_px:g}) lies far outside the picture"
            )
        if not np.isfinite(self.lens.rays_of(*self._middle())).all():
            raise ValueError(
                "the distortion cannot be inverted in the middle of the picture: wrong order or sign?"
            )
        return self

    @property
    def lens(self) -> Lens:
        """The lens of the table."""
        return Lens(
            self.width_px, self.height_px, self.fx_px, self.fy_px, self.cx_px, self.cy_px, self.distortion
        )

    def _middle(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        columns = np.linspace(self.width_px / 4, 3 * self.width_px / 4, 5)
        rows = np.linspace(self.height_px / 4, 3 * self.height_px / 4, 5)
        return columns, rows


class PoseTable(_Table):
    """The motion from the depth sensor's frame to the picture's: p_picture = rotation · p_depth + translation_m."""

    rotation: tuple[Triple, Triple, Triple]
    translation_m: Triple
    error_px: float | None = Field(None, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _rigid(self) -> Self:
        if problem := rotation_problem(np.array(self.rotation)):
            raise ValueError(f"rotation is not one: {problem}")
        if max(map(abs, self.translation_m)) > FARTHEST_APART_M:
            raise ValueError(
                f"translation_m = {list(self.translation_m)}: the devices are more than {FARTHEST_APART_M:g} m apart; "
                "it is in metres, not millimetres"
            )
        return self

    @property
    def pose(self) -> Pose:
        """The pose of the table."""
        return Pose(self.rotation, self.translation_m)


class Calibration(_Table):
    """A calibration of two devices. `picture` is the 2D camera's lens; `depth`, of a sensor with a lens, may be absent.

    `calib_id` names it on the wire; `made` says when and how it was made.
    """

    format: Literal["cmfm two-device calibration 1"]
    calib_id: str = Field("", max_length=MAX_TEXT_BYTES // 4)
    made: str = ""
    picture: LensTable
    depth: LensTable | None = None
    pose: PoseTable


def read_calibration(path: Path) -> Calibration:
    """Read and check a calibration file. Raises InputError naming the file and every wrong key."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; `cmfm-camera calibrate` writes one") from None
    except (OSError, ValueError, RecursionError) as error:  # also a number of 5,000 digits, or deep nesting
        raise InputError(f"{path}: cannot be read as TOML: {error}") from error
    try:
        return Calibration.model_validate(table)
    except ValidationError as error:
        raise InputError("\n".join(describe_validation_error(error, Calibration, str(path)))) from error


def calibration_text(calibration: Calibration) -> str:
    """Return the text of a calibration file; numbers keep all their digits."""
    import tomli_w  # a camera only reads

    return HEADING + tomli_w.dumps(calibration.model_dump(mode="json", exclude_none=True))


HEADING: Final = """# Calibration of a 2D camera (picture) and a depth sensor (depth). Lengths are in metres, pixels are
# counted from 0 at the centre of the top left one. distortion: k1, k2, p1, p2, k3, k4, k5, k6 (Brown-Conrady).
# pose: a point p of the depth sensor is rotation * p + translation_m in the picture's frame.
"""
