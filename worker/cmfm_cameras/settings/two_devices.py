"""The section `[two_devices]`: a 2D camera and a depth sensor, registered by a calibration file."""

from typing import Literal

from pydantic import Field

from cmfm_settings.section import ConfigPath, PositiveMs, Section


class TwoDevicesSection(Section):
    """A 2D camera and a depth sensor that one trigger fires."""

    picture: ConfigPath | None = Field(
        None,
        description="Settings of the 2D camera: a file like this one, whose [camera] kind and section count. "
        "CMFM_CAMERA_PICTURE_<SECTION>__<KEY> overrides its keys.",
    )
    depth: ConfigPath | None = Field(
        None,
        description="Settings of the depth sensor, likewise. Variables: CMFM_CAMERA_DEPTH_<SECTION>__<KEY>.",
    )
    calibration: ConfigPath | None = Field(
        None, description="Calibration of the two (TOML), as `cmfm-camera calibrate` writes it."
    )
    pair_by: Literal["trigger_id", "frame_id", "timestamp", "name"] = Field(
        "timestamp",
        description="Sign that a picture and a depth are of one trigger. trigger_id: both devices say the number "
        "of the trigger. frame_id: both count, and have clocks. timestamp: both clocks are synchronised (PTP). "
        "name: files of one name.",
    )
    window_ms: PositiveMs = Field(
        2.0,
        description="Largest difference, in milliseconds, of the times of one trigger by the devices' clocks. Less "
        "than half of the shortest time between two triggers.",
    )
    delay_ms: float = Field(
        0.0,
        ge=-10_000,
        le=10_000,
        description="Milliseconds by which the depth sensor's time is later than the picture's, for synchronised "
        "clocks.",
    )
    wait_ms: PositiveMs = Field(
        200.0,
        description="Milliseconds that a picture waits for its depth, or a depth for its picture. Then it is no frame, "
        "and counted.",
    )
    steepest_deg: float = Field(
        80.0,
        ge=30,
        le=89,
        description="Steepest tilt of a surface, in degrees against the line of sight. Steeper neighbours are the "
        "edges of two surfaces, with nothing known between them.",
    )
