"""The section `[realsense]`: a RealSense depth camera by librealsense."""

import re
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from cmfm_settings.section import ConfigPath, PositiveMs, Seconds, Section

OPTION: Final = re.compile(r"(depth|color)\.([a-z0-9_]+)=(.+)")
"""An option of a sensor: depth.exposure=8500."""

FARTHEST_M: Final = 16.0
"""Limit of librealsense's threshold filter."""


class RealsenseSection(Section):
    """A RealSense camera: depth and colour of one device, registered to the colour picture."""

    device: str = Field(
        "",
        max_length=256,
        description="The device by its serial number, as `cmfm-camera list` shows it. Empty: the only one.",
    )
    playback: ConfigPath | None = Field(
        None,
        description="Recording of librealsense (.db3) that is played as a device. It ends with its last frame.",
    )
    playback_real_time: bool = Field(
        True, description="true: at the recorded speed. false: as fast as frames are published."
    )
    depth_width: int = Field(0, ge=0, le=8192, description="Columns of the depth. 0: the device's default.")
    depth_height: int = Field(0, ge=0, le=8192, description="Rows of the depth. 0: the device's default.")
    color_width: int = Field(0, ge=0, le=8192, description="Columns of the colour. 0: the device's default.")
    color_height: int = Field(0, ge=0, le=8192, description="Rows of the colour. 0: the device's default.")
    fps: int = Field(
        0,
        ge=0,
        le=300,
        description="Frames a second of both streams. Each frame is a part. 0: the device's default.",
    )
    preset_file: ConfigPath | None = Field(
        None, description="Settings of the device as the RealSense Viewer saves them (JSON). Loaded first."
    )
    visual_preset: str = Field(
        "", max_length=64, description="Preset of the depth by its name: High Accuracy. Empty: as it is set."
    )
    options: tuple[str, ...] = Field(
        (),
        max_length=64,
        description='Options of the sensors, set in this order: ["depth.exposure=8500", "color.gain=16", '
        '"depth.inter_cam_sync_mode=1"].',
    )
    pair_by: Literal["timestamp", "frame_number"] = Field(
        "timestamp",
        description="Sign that depth and colour are of one moment. timestamp: times within window_ms. "
        "frame_number: equal frame numbers too, for devices that count both streams alike.",
    )
    window_ms: PositiveMs = Field(
        5.0,
        description="Largest difference of the times of depth and colour, by the device's clock, in milliseconds. Less "
        "than half of the time between two frames.",
    )
    wait_ms: PositiveMs = Field(
        200.0, description="Milliseconds that a depth waits for its colour. Then it is no frame, and counted."
    )
    decimation: int = Field(
        1, ge=1, le=8, description="Depth pixels a side that become one (decimation filter). 1: off."
    )
    min_distance_m: float = Field(
        0.0, ge=0, le=FARTHEST_M, description="Points nearer than this are not measured (threshold filter)."
    )
    max_distance_m: float = Field(
        FARTHEST_M, gt=0, le=FARTHEST_M, description="Points farther than this are not measured."
    )
    spatial: bool = Field(False, description="true: smooth along rows and columns (spatial filter).")
    spatial_magnitude: int = Field(2, ge=1, le=5, description="Passes of the spatial filter.")
    spatial_alpha: float = Field(
        0.5, ge=0.25, le=1, description="Weight of a pixel against its neighbours. 1: no smoothing."
    )
    spatial_delta: int = Field(20, ge=1, le=50, description="Step that the spatial filter keeps as an edge.")
    temporal: bool = Field(
        False,
        description="true: smooth over frames (temporal filter). It mixes frames, so it is for parts that stand still.",
    )
    temporal_alpha: float = Field(0.4, ge=0, le=1, description="Weight of the newest frame. 1: no smoothing.")
    temporal_delta: int = Field(
        20, ge=1, le=100, description="Step that the temporal filter keeps as an edge."
    )
    temporal_persistence: int = Field(
        0, ge=0, le=8, description="Its rule for pixels that are not measured now. 0: they stay missing."
    )
    hole_filling: Literal["off", "left", "farthest", "nearest"] = Field(
        "off",
        description="Neighbour that fills missing pixels (hole-filling filter). Points are then invented, and defects "
        "may be covered.",
    )
    steepest_deg: float = Field(
        80.0,
        ge=30,
        le=89,
        description="Steepest tilt of a surface, in degrees against the line of sight. Steeper neighbours are the "
        "edges of two surfaces, with nothing known between them.",
    )
    queue: int = Field(8, ge=2, le=64, description="Frames of librealsense that wait for this program.")
    silent_s: Seconds = Field(
        5.0, description="Seconds without a frame after which the device is asked whether it is still there."
    )

    @model_validator(mode="after")
    def _options_have_a_form(self) -> Self:
        for option in self.options:
            found = OPTION.fullmatch(option)
            if found is None:
                raise ValueError(f"{option!r}: write depth.NAME=NUMBER or color.NAME=NUMBER")
            try:
                float(found[3])
            except ValueError:
                raise ValueError(f"{option!r}: {found[3]!r} is no number") from None
        return self

    @model_validator(mode="after")
    def _distances_are_a_range(self) -> Self:
        if self.min_distance_m >= self.max_distance_m:
            raise ValueError("min_distance_m must be below max_distance_m")
        return self
