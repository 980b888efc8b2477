"""The section `[folder]`: files that a sensor's own software saves, as a camera."""

from typing import Literal, Self

from pydantic import Field, model_validator

from cmfm_protocol.files.part_files import XyzUnit
from cmfm_protocol.wire.limits import MAX_SIDE_PX
from cmfm_settings.section import ConfigPath, Seconds, Section


class FolderSection(Section):
    """A watched folder: each new set of files is one part."""

    path: ConfigPath | None = Field(None, description='Folder to watch, for kind = "folder".')
    form: Literal["rgb_xyz", "ply", "rgb_depth", "numpy", "rgb", "xyz", "depth"] = Field(
        "rgb_xyz",
        description="Files of a part NAME. rgb_xyz: NAME.rgb.png and NAME.xyz.tiff. ply: NAME.ply, an organised cloud "
        "with colour. rgb_depth: NAME.rgb.png and NAME.depth.png, with the intrinsics below. numpy: NAME.rgb.npy and "
        "NAME.xyz.npy. rgb, xyz, depth: one of these files alone, for a device of [two_devices].",
    )
    unit: XyzUnit = Field("m", description="Unit of the points: m, cm, mm or um.")
    depth_scale: float = Field(
        0.001,
        gt=0,
        le=1,
        description="Metres of one step of a depth picture, for form = rgb_depth. 0 is a pixel not measured.",
    )
    fx: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description='Focal length in pixels along the columns, for form = rgb_depth. "": none.',
    )
    fy: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description='Focal length in pixels along the rows, for form = rgb_depth. "": fx.',
    )
    cx: float | None = Field(
        None, ge=-1e5, le=1e5, description='Column of the principal point in pixels, from 0. "": the middle.'
    )
    cy: float | None = Field(
        None, ge=-1e5, le=1e5, description='Row of the principal point in pixels, from 0. "": the middle.'
    )
    width: int | None = Field(
        None,
        ge=1,
        le=MAX_SIDE_PX,
        description='Columns of a PLY cloud whose file does not say them. "": it does.',
    )
    height: int | None = Field(
        None,
        ge=1,
        le=MAX_SIDE_PX,
        description='Rows of a PLY cloud whose file does not say them. "": it does.',
    )
    zero_is_missing: bool = Field(True, description="true: a point with z = 0 was not measured.")
    existing: Literal["skip", "publish"] = Field(
        "skip", description="Files that are in the folder at the start: skip, or publish, oldest first."
    )
    after: Literal["keep", "delete", "move"] = Field(
        "keep", description="Published files: keep, delete, or move to the folder `done`."
    )
    done: ConfigPath | None = Field(None, description='Folder for published files, for after = "move".')
    settle_s: Seconds = Field(
        0.2,
        description="Seconds for which size and time of all files of a part must not change before they are read. "
        "Software that renames finished files into the folder needs no more than 0.05.",
    )
    missing_s: Seconds = Field(
        5.0,
        description="Seconds after which a part is given up if one of its files has not come. Its number is used.",
    )
    poll_s: Seconds = Field(0.05, description="Seconds between two looks at the folder.")

    @model_validator(mode="after")
    def _move_needs_a_folder(self) -> Self:
        if self.after == "move" and self.done is None:
            raise ValueError('after = "move" needs done')
        if self.form in ("rgb_depth", "depth") and self.fx is None:
            raise ValueError(f'form = "{self.form}" needs fx')
        return self
